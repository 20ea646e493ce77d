//! What a destination does with requests, and from when.

use std::str::FromStr;

/// How a destination treats an INVITE; `Dead` goes for all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 180, then 200
    Answer,
    /// This final response at once
    Refuse(u16),
    /// Nothing; OPTIONS are answered
    Mute,
    /// Nothing, to nothing
    Dead,
}

/// One `--behave`: from this moment on these destinations are like that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    first: u32,
    last: u32,
    manner: Manner,
    after_s: f64,
}

impl Behaviour {
    /// The manner of destination `index` so many seconds into the load; the last one named wins.
    pub fn of(all: &[Behaviour], index: u32, seconds: f64) -> Manner {
        let applies = |one: &&Behaviour| (one.first..=one.last).contains(&index) && seconds >= one.after_s;
        all.iter().rev().find(applies).map_or(Manner::Answer, |one| one.manner)
    }
}

impl FromStr for Behaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (who, what) = text.split_once('=')?;
            let (first, last) = who.split_once('-').unwrap_or((who, who));
            let (what, after) = what.split_once('@').unwrap_or((what, "0"));
            let manner = match what {
                "answer" => Manner::Answer,
                "mute" => Manner::Mute,
                "dead" => Manner::Dead,
                code => Manner::Refuse(code.parse().ok().filter(|code| (300..700).contains(code))?),
            };
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            Some(Behaviour { first, last, manner, after_s: after.parse().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is not FIRST[-LAST]=answer|mute|dead|CODE[@SECONDS]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_applies_wins() {
        let all = ["0-3=503", "2=dead@4"].map(|text| text.parse().unwrap());
        assert_eq!(Behaviour::of(&all, 3, 9.0), Manner::Refuse(503));
        assert_eq!(Behaviour::of(&all, 2, 3.9), Manner::Refuse(503));
        assert_eq!(Behaviour::of(&all, 2, 4.0), Manner::Dead);
        assert_eq!(Behaviour::of(&all, 4, 9.0), Manner::Answer);
        for wrong in ["0", "0=200", "a=mute", "0=gone"] {
            assert!(wrong.parse::<Behaviour>().is_err(), "{wrong}");
        }
    }
}
