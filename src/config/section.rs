//! Declares sections of the configuration: one line per key gives its field, its default, its
//! bounds, its entry in the manual and its place in the effective configuration.

/// One section, for the manual and for judging unknown keys.
pub(super) struct Section {
    /// Where it stands, as in `sets.NAME.probe`; empty for the top level.
    pub(super) path: &'static str,
    /// What it is about.
    pub(super) about: &'static str,
    /// Its keys, in the order of the manual.
    pub(super) keys: &'static [Key],
    /// Keys of the contract that this version refuses.
    pub(super) later: &'static [&'static str],
}

/// One key.
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// Another name by which it may be written, for those who come from elsewhere.
    pub(super) alias: Option<&'static str>,
    /// Its type in the words of the manual.
    pub(super) kind: fn() -> String,
    /// Its default; null if there is none.
    pub(super) default: fn() -> serde_yaml::Value,
    /// The smallest and largest value, in words; empty without bounds.
    pub(super) bounds: fn() -> String,
    /// What it means.
    pub(super) about: &'static str,
    /// What Kamailio calls it.
    pub(super) kamailio: &'static str,
    /// Whether a change takes effect only after a restart.
    pub(super) restart: bool,
    /// Whether it must be written.
    pub(super) required: bool,
}

/// Every section, in the order of the manual.
pub(super) fn all() -> &'static [&'static Section] {
    super::keys::SECTIONS
}

impl Key {
    /// Whether this is how it may be written.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// Where a key is at home that was written elsewhere, if that is one place only.
pub(super) fn home_of(key: &str) -> Option<String> {
    let mut homes = all().iter().filter(|section| section.keys.iter().any(|known| known.is_called(key)));
    match (homes.next(), homes.next()) {
        (Some(home), None) if home.path.is_empty() => Some("the top level".into()),
        (Some(home), None) => Some(format!("`{}`", home.path)),
        _ => None,
    }
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident at $path:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:expr
                    $(, from $low:expr => $high:expr)?
                    $(, kamailio $kamailio:literal)?
                    $(, alias $alias:literal)?
                    $(, restart $restart:literal)?
                    $(, required $required:literal)?;
            )+
        }
        $(later [$($later:literal),* $(,)?])?
        $(settle $settle:ident)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct $name {
            $($(#[doc = $doc])+ pub(super) $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            pub(super) const SECTION: $crate::config::section::Section = $crate::config::section::Section {
                path: $path,
                about: concat!($($about),+),
                keys: &[$(
                    $crate::config::section::Key {
                        name: stringify!($field),
                        alias: $crate::config::section::alias!($($alias)?),
                        kind: <$type as $crate::config::cursor::Field>::kind,
                        default: || $crate::config::cursor::Field::show(&Self::default().$field),
                        about: concat!($($doc),+),
                        kamailio: concat!($($kamailio)?),
                        bounds: || $crate::config::section::bounds!($($low, $high)?),
                        restart: $crate::config::section::flag!($($restart)?),
                        required: $crate::config::section::flag!($($required)?),
                    },
                )+],
                later: &[$($($later),*)?],
            };
        }

        impl $crate::config::cursor::Field for $name {
            fn kind() -> String {
                "section".into()
            }
            fn read(cursor: &$crate::config::cursor::Cursor<'_>, base: Self) -> Self {
                if cursor.section(&Self::SECTION).is_none() {
                    return base;
                }
                $(
                    let $field = match cursor.get_by(stringify!($field), $crate::config::section::alias!($($alias)?)) {
                        None => base.$field,
                        Some(cursor) => {
                            let value = <$type as $crate::config::cursor::Field>::read(&cursor, base.$field);
                            $($crate::config::fields::bound(&cursor, &value, &$low, &$high);)?
                            value
                        }
                    };
                )+
                let section = Self { $($field,)+ };
                $(let section = section.$settle(cursor);)?
                section
            }
            fn show(&self) -> serde_yaml::Value {
                let mut mapping = serde_yaml::Mapping::new();
                $(mapping.insert(stringify!($field).into(), $crate::config::cursor::Field::show(&self.$field));)+
                mapping.into()
            }
        }
    };
}

macro_rules! flag {
    () => {
        false
    };
    ($flag:literal) => {
        $flag
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}

macro_rules! bounds {
    () => {
        String::new()
    };
    ($low:expr, $high:expr) => {
        $crate::config::fields::bounds(&$low, &$high)
    };
}

pub(super) use {alias, bounds, flag, section};
