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
    /// Holds in every other span of so many seconds only, and not in the first.
    turn_s: Option<f64>,
}

impl Behaviour {
    /// The manner of destination `index` so many seconds into the load; the last one named wins.
    pub fn of(all: &[Behaviour], index: u32, seconds: f64) -> Manner {
        let applies = |one: &&Behaviour| {
            (one.first..=one.last).contains(&index) && seconds >= one.after_s && one.has_its_turn(seconds)
        };
        all.iter().rev().find(applies).map_or(Manner::Answer, |one| one.manner)
    }

    /// Whether it is not the turn of what destinations do otherwise.
    pub fn has_its_turn(&self, seconds: f64) -> bool {
        self.turn_s.is_none_or(|turn| (seconds / turn) as u64 % 2 == 1)
    }
}

impl FromStr for Behaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (who, what) = text.split_once('=')?;
            let (first, last) = who.split_once('-').unwrap_or((who, who));
            let (what, turn_s) = match what.split_once('~') {
                Some((what, turn)) => (what, Some(turn.parse().ok().filter(|turn| *turn > 0.0)?)),
                None => (what, None),
            };
            let (what, after) = what.split_once('@').unwrap_or((what, "0"));
            let manner = match what {
                "answer" => Manner::Answer,
                "mute" => Manner::Mute,
                "dead" => Manner::Dead,
                code => Manner::Refuse(code.parse().ok().filter(|code| (300..700).contains(code))?),
            };
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            Some(Behaviour { first, last, manner, after_s: after.parse().ok()?, turn_s })
        };
        parse()
            .ok_or_else(|| format!("`{text}` is not FIRST[-LAST]=answer|mute|dead|CODE[@SECONDS][~SECONDS]"))
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
        let by_turns = ["0=503~0.5".parse().unwrap()];
        let manners = [0.2, 0.7, 1.2, 1.7].map(|seconds| Behaviour::of(&by_turns, 0, seconds));
        let refuse = Manner::Refuse(503);
        assert_eq!(manners, [Manner::Answer, refuse, Manner::Answer, refuse]);
        for wrong in ["0", "0=200", "a=mute", "0=gone", "0=503~0", "0=503~x"] {
            assert!(wrong.parse::<Behaviour>().is_err(), "{wrong}");
        }
    }
}
