//! A directory of one test: configuration, logs, statistics. A failing test prints its logs.

use std::fs;
use std::path::{Path, PathBuf};

const TAIL_LINES: usize = 60;
const TAIL_BYTES: usize = 12_000;

/// The directory; removed when the test passes, printed and kept when it fails.
#[derive(Debug)]
pub struct Workspace {
    dir: PathBuf,
}

impl Workspace {
    /// Makes an empty directory for the named test.
    pub fn new(test: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the target directory can be written");
        Self { dir }
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file in it and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the test's directory can be written");
        path
    }

    fn print_logs(&self) {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            let printed =
                matches!(path.extension().and_then(|e| e.to_str()), Some("log" | "err" | "yaml" | "yml"));
            let text =
                fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            if printed && !text.is_empty() {
                println!("──── {} (its end)\n{}", path.display(), tail(&text));
            }
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The last lines of a text, bounded in lines and bytes.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let kept: Vec<&str> = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).copied().collect();
    let kept = kept.join("\n");
    let surplus = kept.chars().count().saturating_sub(TAIL_BYTES);
    kept.chars().skip(surplus).collect()
}
