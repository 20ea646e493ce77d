//! The state file: administrators' wishes and what is down since when, kept over a restart.
//!
//! Written off the path of calls, some time after a change, so that many changes make one file: a
//! temporary file first, then one rename, so that a crash leaves the old one or the new one. Read
//! once, at the start; a file that cannot be trusted is ignored as a whole.

use super::control::ControlPlane;
use crate::facts::clock::Clock;
use crate::facts::event::StateProblem;
use crate::facts::remembered::Remembered;
use crate::facts::{Admin, State};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// The format that this version reads and writes.
const VERSION: u64 = 1;
/// Time from a change to the file that holds it.
const SETTLE: Duration = Duration::from_millis(500);
/// The file is written again after this long without a change, so that its age tells how long
/// nobody has looked.
const REFRESH: Duration = Duration::from_secs(3_600);
/// A file older than this says nothing of how things are.
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// Largest file read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a file is ignored, and the words for it.
pub(super) type Ignored = (StateProblem, Arc<str>);

/// Where states are kept.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    clock: Clock,
}

/// What tells the version of a file before anything else is looked at.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u64,
    saved: String,
    destinations: Vec<Entry>,
}

/// One destination in it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    set: String,
    id: String,
    uri: String,
    configured: String,
    admin: String,
    down: bool,
    state: String,
    since: String,
}

impl StateFile {
    /// The file at a path; `clock` tells the time of day of instants.
    pub(super) const fn new(path: PathBuf, clock: Clock) -> Self {
        Self { path, clock }
    }

    /// Reads it; `None` if there is none, as before the first change.
    pub(super) fn load(&self, now: SystemTime) -> Result<Option<Vec<Remembered>>, Ignored> {
        let name = self.path.display();
        let unreadable = |error: io::Error| (StateProblem::Unreadable, format!("{name}: {error}").into());
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?,
        };
        let broken = |why: String| (StateProblem::Broken, format!("{name}: {why}").into());
        let head: Head = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if head.version != VERSION {
            let why = format!("{name}: version {}, this is {VERSION}", head.version);
            return Err((StateProblem::OtherVersion, why.into()));
        }
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        let saved = time(&content.saved).ok_or_else(|| broken(format!("no time: {:?}", content.saved)))?;
        if now.duration_since(saved).is_ok_and(|age| age > MAX_AGE) {
            let why = format!("{name}: written at {}, more than 7 days ago", content.saved);
            return Err((StateProblem::Old, why.into()));
        }
        let remembered =
            content.destinations.iter().map(|entry| self.remembered(entry, now).map_err(&broken));
        remembered.collect::<Result<_, _>>().map(Some)
    }

    fn remembered(&self, entry: &Entry, now: SystemTime) -> Result<Remembered, String> {
        let admin = |word: &str| Admin::from_word(word).ok_or_else(|| format!("no state {word:?}"));
        let since = time(&entry.since).ok_or_else(|| format!("no time: {:?}", entry.since))?;
        let age = now.duration_since(since).unwrap_or_default();
        let instant = self.clock.instant(now);
        Ok(Remembered {
            set: entry.set.as_str().into(),
            id: entry.id.as_str().into(),
            uri: entry.uri.as_str().into(),
            configured: admin(&entry.configured)?,
            admin: admin(&entry.admin)?,
            is_down: entry.down,
            state: State::from_word(&entry.state).ok_or_else(|| format!("no state {:?}", entry.state))?,
            since: instant.checked_sub(age).unwrap_or(instant),
        })
    }

    /// Writes it.
    pub(super) fn save(&self, remembered: &[Remembered], now: SystemTime) -> io::Result<()> {
        let entry = |one: &Remembered| Entry {
            set: one.set.to_string(),
            id: one.id.to_string(),
            uri: one.uri.to_string(),
            configured: one.configured.to_string(),
            admin: one.admin.to_string(),
            down: one.is_down,
            state: one.state.to_string(),
            since: text(self.clock.wall(one.since)),
        };
        let destinations = remembered.iter().map(entry).collect();
        let content = Content { version: VERSION, saved: text(now), destinations };
        let mut bytes = serde_json::to_vec_pretty(&content)?;
        bytes.push(b'\n');
        replace(&self.path, &bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }
}

/// Saves states whenever they have changed, until dropped.
pub(super) async fn save_when(control: &ControlPlane, unsaved: &Notify) {
    if !control.keeps_states() {
        return;
    }
    loop {
        if timeout(REFRESH, unsaved.notified()).await.is_ok() {
            sleep(SETTLE).await;
        }
        control.save_states().await;
    }
}

/// Puts a file in the place of another so that there is always the one or the other, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        // The rename must not reach the disk before what it names.
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    let holder = path.parent().filter(|holder| !holder.as_os_str().is_empty());
    // Not every file system can sync a directory; the content is safe, only the name may be old.
    let _ = File::open(holder.unwrap_or(Path::new("."))).and_then(|holder| holder.sync_all());
    Ok(())
}

fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    struct Place(StateFile);

    impl Place {
        fn new(name: &str) -> Self {
            let file = format!("sipwarden-state-{}-{name}.json", std::process::id());
            let clock = Clock::new(Instant::now(), SystemTime::now());
            Self(StateFile::new(std::env::temp_dir().join(file), clock))
        }
        /// Writes a text, and reads it as a state file.
        fn read(&self, text: &str) -> (StateProblem, String) {
            fs::write(&self.0.path, text).unwrap();
            let (problem, detail) = self.0.load(SystemTime::now()).unwrap_err();
            assert!(detail.starts_with(&self.0.path.display().to_string()), "{detail}");
            (problem, detail.to_string())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0.path);
        }
    }

    fn remembered(since: Instant) -> Remembered {
        Remembered {
            set: "pbx".into(),
            id: "a".into(),
            uri: "sip:10.0.0.1".into(),
            configured: Admin::Enabled,
            admin: Admin::Draining,
            is_down: true,
            state: State::Draining,
            since,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_else_is_left_behind() {
        let place = Place::new("round");
        assert_eq!(place.0.load(SystemTime::now()), Ok(None), "no file is no problem");
        let since = Instant::now().checked_sub(Duration::from_secs(90)).unwrap();
        place.0.save(&[remembered(since)], SystemTime::now()).unwrap();
        let loaded = place.0.load(SystemTime::now()).unwrap().unwrap();
        let [one] = &loaded[..] else { panic!("{loaded:?}") };
        let (later, earlier) = (one.since.max(since), one.since.min(since));
        assert!(later - earlier < Duration::from_secs(1), "{:?}", later - earlier);
        assert_eq!(*one, Remembered { since: one.since, ..remembered(since) });
        let name = place.0.path.file_name().unwrap().to_str().unwrap();
        let around = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let left = around.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).count();
        assert_eq!(left, 1, "only the file itself is there");
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_ignored_and_the_reason_named() {
        let place = Place::new("bad");
        let entry = r#"{"set":"pbx","id":"a","uri":"sip:a","configured":"enabled","admin":"STATE","down":true,
            "state":"down","since":"2026-01-01T00:00:00Z"}"#;
        let file = |version: u32, saved: &str, entry: &str| {
            format!(r#"{{"version":{version},"saved":"{saved}","destinations":[{entry}]}}"#)
        };
        let now = text(SystemTime::now());
        let week = text(SystemTime::now().checked_sub(MAX_AGE + SETTLE).unwrap());
        for (content, problem, word) in [
            (String::new(), StateProblem::Broken, "EOF"),
            ("[1, 2".to_owned(), StateProblem::Broken, "line 1"),
            (r#"{"version":2,"things":[]}"#.to_owned(), StateProblem::OtherVersion, "version 2, this is 1"),
            (file(1, "yesterday", ""), StateProblem::Broken, "no time"),
            (file(1, &week, ""), StateProblem::Old, "7 days"),
            (file(1, &now, r#"{"set":"pbx"}"#), StateProblem::Broken, "missing field"),
            (file(1, &now, &entry.replace("STATE", "asleep")), StateProblem::Broken, "no state \"asleep\""),
        ] {
            let (found, detail) = place.read(&content);
            assert_eq!(found, problem, "{content}: {detail}");
            assert!(detail.contains(word), "{content}: {detail}");
        }
        let whole = file(1, &now, &entry.replace("STATE", "enabled"));
        fs::write(&place.0.path, &whole).unwrap();
        assert_eq!(place.0.load(SystemTime::now()).unwrap().unwrap().len(), 1);
        // A file that broke off while it was written has lost its end.
        let (found, _) = place.read(&whole[..whole.len() / 2]);
        assert_eq!(found, StateProblem::Broken);
    }

    #[test]
    fn a_write_that_fails_says_where_and_leaves_what_was_there() {
        let directory = std::env::temp_dir().join(format!("sipwarden-state-{}-none", std::process::id()));
        let clock = Clock::new(Instant::now(), SystemTime::now());
        let file = StateFile::new(directory.join("state.json"), clock);
        let error = file.save(&[], SystemTime::now()).unwrap_err().to_string();
        assert!(error.starts_with(&directory.display().to_string()), "{error}");
    }
}
