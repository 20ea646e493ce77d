// Prints, as a small part of JSON Schema, what @grafana/schema says about a dashboard and about the
// options of the panels that the dashboards here use. Run by make.sh.
import ts from 'typescript';

// Options and custom field options: the name of the panel plugin, and its folder in the package.
const PANELS = {
  bargauge: 'bargauge', gauge: 'gauge', heatmap: 'heatmap', stat: 'stat', 'state-timeline': 'statetimeline',
  table: 'table', timeseries: 'timeseries',
};
// Parts that Dashboard itself leaves open.
const PARTS = ['Dashboard', 'Panel', 'RowPanel', 'VariableModel', 'AnnotationQuery', 'DashboardLink', 'FieldConfigSource'];

const folder = 'node_modules/@grafana/schema/dist/types';
const root = 'roots.ts';
const lines = PARTS.map((name) => `import type { ${name} as ${name}_ } from '@grafana/schema'; export type ${name} = ${name}_;`);
for (const [name, plugin] of Object.entries(PANELS)) {
  const module = `./${folder}/raw/composable/${plugin}/panelcfg/x/types.gen`;
  const id = plugin;
  lines.push(`import type * as ${id} from '${module}'; export type options_${id} = Partial<${id}.Options>;`);
  const custom = ts.sys.readFile(`${module}.d.ts`).includes('interface FieldConfig');
  // Mapped, so that it does not go by the name that the dashboard's own FieldConfig has.
  const mapped = `{ [key in keyof ${id}.FieldConfig]: ${id}.FieldConfig[key] }`;
  lines.push(`export type custom_${id} = ${custom ? mapped : 'Record<string, never>'};`);
}
ts.sys.writeFile(root, lines.join('\n'));

const program = ts.createProgram([root], {
  strict: true, noEmit: true, skipLibCheck: true, module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ESNext,
});
const checker = program.getTypeChecker();
const source = program.getSourceFile(root);
const broken = ts.getPreEmitDiagnostics(program, source);
if (broken.length) throw new Error(ts.formatDiagnostics(broken, { getCanonicalFileName: (f) => f, getCurrentDirectory: () => '.', getNewLine: () => '\n' }));

const definitions = {};

function isFlag(type, flag) { return (type.flags & flag) !== 0; }

function describe(type) {
  if (isFlag(type, ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return {};
  if (type.isUnion()) return union(type);
  if (type.isStringLiteral() || type.isNumberLiteral()) return { enum: [type.value] };
  if (isFlag(type, ts.TypeFlags.BooleanLiteral)) return { enum: [checker.typeToString(type) === 'true'] };
  if (isFlag(type, ts.TypeFlags.StringLike)) return { type: 'string' };
  if (isFlag(type, ts.TypeFlags.NumberLike)) return { type: 'number' };
  if (isFlag(type, ts.TypeFlags.BooleanLike)) return { type: 'boolean' };
  if (isFlag(type, ts.TypeFlags.Null)) return { type: 'null' };
  if (checker.isArrayType(type)) return { type: 'array', items: describe(checker.getTypeArguments(type)[0]) };
  if (isFlag(type, ts.TypeFlags.Object | ts.TypeFlags.Intersection | ts.TypeFlags.NonPrimitive)) return object(type);
  return {};
}

function union(type) {
  const parts = type.types.filter((part) => !isFlag(part, ts.TypeFlags.Undefined)).map(describe);
  const literals = parts.filter((part) => part.enum).flatMap((part) => part.enum);
  const others = parts.filter((part) => !part.enum);
  const isBoolean = literals.includes(true) && literals.includes(false);
  const words = literals.filter((value) => typeof value !== 'boolean' || !isBoolean);
  const any = [...(isBoolean ? [{ type: 'boolean' }] : []), ...(words.length ? [{ enum: words.sort() }] : []), ...others];
  if (any.some((part) => Object.keys(part).length === 0)) return {};
  return any.length === 1 ? any[0] : { anyOf: any };
}

// A named interface goes to the definitions once; types written in place stay in place.
function object(type) {
  const symbol = type.aliasSymbol ?? type.symbol;
  const name = symbol?.name ?? '__type';
  const isNamed = !name.startsWith('__') && !/^(options|custom)_/.test(name) && !type.aliasTypeArguments?.length
    && !['Partial', 'Record', 'Omit', 'Pick'].includes(name);
  if (!isNamed) return members(type);
  if (!(name in definitions)) {
    definitions[name] = null;
    definitions[name] = members(type);
  }
  return { ref: name };
}

function members(type) {
  if (checker.getIndexInfosOfType(type).length) return { type: 'object' };
  const properties = {};
  const required = [];
  for (const property of checker.getPropertiesOfType(type)) {
    if (!(property.flags & ts.SymbolFlags.Optional)) required.push(property.name);
    properties[property.name] = describe(checker.getTypeOfSymbolAtLocation(property, source));
  }
  if (Object.keys(properties).length === 0) return { type: 'object' };
  return { type: 'object', properties, ...(required.length ? { required: required.sort() } : {}) };
}

for (const statement of source.statements) {
  if (!ts.isTypeAliasDeclaration(statement)) continue;
  const name = statement.name.text.replace(/_(\w+)$/, (_, plugin) =>
    '/' + Object.keys(PANELS).find((key) => PANELS[key] === plugin));
  const found = describe(checker.getTypeAtLocation(statement.name));
  if (found.ref !== name) definitions[name] = found;
}
const sorted = (value) => Array.isArray(value) ? value.map(sorted)
  : value && typeof value === 'object' ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value;
const packages = ts.sys.readFile('node_modules/@grafana/schema/package.json');
const rows = Object.entries(sorted(definitions)).map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
console.log(`{\n  "package": "@grafana/schema@${JSON.parse(packages).version}",\n  "definitions": {\n${rows.join(',\n')}\n  }\n}`);
