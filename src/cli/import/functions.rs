//! The functions of Kamailio's dispatcher, and what there is here instead.

/// A function of the module.
#[derive(Debug)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether its arguments name sets and algorithms.
    pub(super) selects: bool,
    /// What there is instead; empty if nothing needs to be said.
    pub(super) instead: &'static str,
}

const fn row(name: &'static str, selects: bool, instead: &'static str) -> Function {
    Function { name, selects, instead }
}

/// Every function.
pub(super) const FUNCTIONS: &[Function] = &[
    row("ds_select_dst", true, ""),
    row(
        "ds_select_domain",
        true,
        "the Request-URI is left alone: the request goes out as with ds_select_dst",
    ),
    row("ds_select", true, ""),
    row("ds_select_routes", true, ""),
    row("ds_next_dst", false, ""),
    row("ds_next_domain", false, ""),
    row("ds_set_dst", false, ""),
    row("ds_set_domain", false, ""),
    row("ds_mark_dst", false, "passive ejection takes its place (`passive`), apart from the probes"),
    row("ds_mark_addr", false, "passive ejection takes its place (`passive`), apart from the probes"),
    row("ds_is_from_list", false, "a route with `from_set` takes its place: {from_set: A, set: B}"),
    row("ds_list_exists", false, "no equal: a set that does not exist is refused by `sipwarden check`"),
    row("ds_is_active", false, "`when_all_down` and `fallback` take its place"),
    row("ds_reload", false, "a changed file is applied by itself, and by `sipwarden reload`"),
    row("ds_load_update", false, "calls are counted by sipwarden itself"),
    row("ds_load_unset", false, "calls are counted by sipwarden itself"),
    row("ds_dsg_fetch", false, "the metric sipwarden_set_destinations_available takes its place"),
    row("ds_dsg_fetch_uri", false, "no equal: overload control by RFC 7339 is not supported"),
    row("ds_oc_set_attrs", false, "no equal: overload control by RFC 7339 is not supported"),
];
