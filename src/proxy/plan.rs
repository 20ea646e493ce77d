//! A configuration compiled for the core: names numbered, shared by all workers, immutable.

use super::{Interfaces, Settings};
use crate::facts::directory::Directory;
use crate::facts::names::Names;

/// One configuration, compiled.
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    directory: Directory,
}

impl Plan {
    /// Compiles settings, numbering names that are new in `names`.
    pub fn new(settings: Settings, interfaces: &Interfaces, names: &mut Names) -> Self {
        let _ = interfaces;
        let directory = Directory { names: names.clone(), ..Directory::default() };
        Self { settings, directory }
    }

    /// The settings it was compiled from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who is who.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}
