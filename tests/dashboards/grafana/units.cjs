// Prints the ids of the units that @grafana/data knows, one a line. Run by make.sh.
globalThis.navigator = { language: 'en', languages: ['en'] };
const { initPluginTranslations } = require('@grafana/i18n');
const { getValueFormats } = require('@grafana/data');

initPluginTranslations('units').then(() => {
  const ids = getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value));
  console.log([...new Set(ids)].sort().join('\n'));
});
