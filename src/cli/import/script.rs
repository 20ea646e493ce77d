//! Reads of a `kamailio.cfg` what concerns the dispatcher: parameters of modules, listeners, and
//! calls whose arguments are written out. Never follows the script's logic.

mod lexer;

pub(super) use lexer::Constants;

use super::functions::{FUNCTIONS, Function};
use super::place::{Place, Warning, shown};
use lexer::{Spot, Token};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What was found in all scripts.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Parameters of the modules dispatcher and tm, in their order.
    pub(super) parameters: Vec<Parameter>,
    /// Selections with literal arguments, in their order.
    pub(super) calls: Vec<Call>,
    /// Listeners.
    pub(super) listens: Vec<Listen>,
    /// Where each function of the dispatcher is first called, and how often, by its name.
    pub(super) used: BTreeMap<&'static str, (Place, usize)>,
    /// Whether any script was read.
    pub(super) is_read: bool,
}

/// `modparam("MODULE", "NAME", VALUE)`.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) module: &'static str,
    pub(super) name: String,
    pub(super) value: String,
}

/// A selection: the sets it tries one after the other.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) place: Place,
    /// Number of the set and of the algorithm.
    pub(super) picks: Vec<(u32, u32)>,
    /// Destinations tried at most.
    pub(super) limit: Option<u32>,
}

/// `listen=…`, cut at the blanks.
#[derive(Debug, Clone)]
pub(super) struct Listen {
    pub(super) place: Place,
    pub(super) words: Vec<String>,
}

/// Modules whose parameters matter.
const MODULES: [&str; 2] = ["dispatcher", "tm"];
/// Tokens that the arguments of one call have at most.
const MAX_ARGUMENTS: usize = 256;
/// What OpenSIPS loads since its version 2, and Kamailio never.
const OPENSIPS_MODULES: [&str; 3] = ["proto_udp.so", "proto_tcp.so", "proto_tls.so"];

impl Script {
    /// Adds what a script says.
    pub(super) fn read(
        &mut self,
        text: &str,
        file: &Rc<str>,
        constants: &mut Constants,
        warnings: &mut Vec<Warning>,
    ) {
        self.is_read = true;
        let (spots, remarks) = lexer::lex(text, constants);
        let place = |line: usize| Place { file: Rc::clone(file), line };
        warnings.extend(remarks.into_iter().map(|(line, text)| Warning { place: place(line), text }));
        for (at, spot) in spots.iter().enumerate() {
            let Token::Word(word) = &spot.token else { continue };
            let rest = spots.get(at + 1..).unwrap_or_default();
            let place = place(spot.line);
            let mut warn = |text: String| warnings.push(Warning { place: place.clone(), text });
            match word.as_str() {
                "modparam" => self.parameter(rest, &place),
                "listen" => self.listen(rest, &place),
                "loadmodule" => {
                    let name = rest.first().map(|spot| &spot.token);
                    let is_foreign = |name: &str| OPENSIPS_MODULES.iter().any(|known| name.ends_with(known));
                    if matches!(name, Some(Token::Text(name)) if is_foreign(name)) {
                        warn(
                            "this looks like OpenSIPS, whose algorithms from 4 on have other numbers; \
                             read as Kamailio"
                                .into(),
                        );
                    }
                }
                _ => {
                    if let Some(function) = FUNCTIONS.iter().find(|function| function.name == word.as_str())
                        && let Err(text) = self.call(function, rest, &place)
                    {
                        warn(text);
                    }
                }
            }
        }
    }

    /// The value that a parameter has in the end.
    pub(super) fn parameter_named(&self, module: &str, name: &str) -> Option<&Parameter> {
        self.parameters.iter().rev().find(|known| known.module == module && known.name == name)
    }

    fn parameter(&mut self, rest: &[Spot], place: &Place) {
        let arguments = arguments(rest).unwrap_or_default();
        let [modules, name, value] = arguments.as_slice() else { return };
        let (Some(modules), Some(name), Some(value)) = (literal(modules), literal(name), joined(value))
        else {
            return;
        };
        for module in MODULES {
            if modules.split('|').any(|written| written == module) {
                let (name, value) = (name.to_owned(), value.clone());
                self.parameters.push(Parameter { place: place.clone(), module, name, value });
            }
        }
    }

    fn listen(&mut self, rest: &[Spot], place: &Place) {
        let Some((Spot { token: Token::Sign('='), .. }, rest)) = rest.split_first() else { return };
        let same_line = rest.iter().take_while(|spot| spot.line == place.line);
        let words = same_line.map_while(|spot| match &spot.token {
            Token::Word(text) | Token::Text(text) => Some(text.clone()),
            Token::Sign(_) => None,
        });
        let words: Vec<String> = words.take(MAX_ARGUMENTS).collect();
        self.listens.push(Listen { place: place.clone(), words });
    }

    fn call(&mut self, function: &'static Function, rest: &[Spot], place: &Place) -> Result<(), String> {
        let Some(arguments) = arguments(rest) else { return Ok(()) };
        let used = self.used.entry(function.name).or_insert_with(|| (place.clone(), 0));
        used.1 += 1;
        if !function.selects {
            return Ok(());
        }
        let mut literals = arguments.iter().map(|argument| literal(argument));
        let (first, second, third) = (literals.next().flatten(), literals.next().flatten(), literals.next());
        let unknown = || {
            let written: Vec<String> = arguments.iter().map(|argument| show(argument)).collect();
            let written = shown(&written.join(", "));
            format!(
                "{}({written}) is known only at run time; choose set and algorithm by hand",
                function.name
            )
        };
        let picks = match (function.name, first, second) {
            ("ds_select_routes", Some(rules), _) => rules.split(';').map(pair).collect(),
            (_, Some(set), Some(algorithm)) => number(set).zip(number(algorithm)).map(|pick| vec![pick]),
            (_, _, _) => None,
        };
        let picks: Vec<(u32, u32)> = picks.ok_or_else(unknown)?;
        let limit = third.flatten().and_then(number).filter(|limit| *limit > 0);
        self.calls.push(Call { place: place.clone(), picks, limit });
        Ok(())
    }
}

/// `SET=ALGORITHM`.
fn pair(text: &str) -> Option<(u32, u32)> {
    let (set, algorithm) = text.split_once('=')?;
    number(set).zip(number(algorithm))
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// The arguments of a call, from its opening bracket.
fn arguments(rest: &[Spot]) -> Option<Vec<Vec<&Token>>> {
    let mut depth = 0_usize;
    let mut found = vec![vec![]];
    for (position, spot) in rest.iter().take(MAX_ARGUMENTS).enumerate() {
        match spot.token {
            Token::Sign('(') if position == 0 => depth = 1,
            _ if position == 0 => return None,
            Token::Sign(')') if depth == 1 => return Some(found),
            Token::Sign(',') if depth == 1 => found.push(vec![]),
            Token::Word(_) | Token::Text(_) | Token::Sign(_) => {
                match spot.token {
                    Token::Sign('(') => depth += 1,
                    Token::Sign(')') => depth -= 1,
                    Token::Word(_) | Token::Text(_) | Token::Sign(_) => {}
                }
                found.last_mut()?.push(&spot.token);
            }
        }
    }
    None
}

/// An argument that is one text or one word and no variable.
fn literal<'a>(argument: &[&'a Token]) -> Option<&'a str> {
    match argument {
        [Token::Text(text) | Token::Word(text)] if !text.contains('$') => Some(text),
        _ => None,
    }
}

/// The value of a parameter; texts in a row are one. A variable in it is no obstacle here.
fn joined(argument: &[&Token]) -> Option<String> {
    let parts = argument.iter().map(|token| match token {
        Token::Text(text) | Token::Word(text) => Some(text.as_str()),
        Token::Sign(_) => None,
    });
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
}

fn show(argument: &[&Token]) -> String {
    let parts = argument.iter().map(|token| match token {
        Token::Text(text) => format!("\"{text}\""),
        Token::Word(word) => word.clone(),
        Token::Sign(sign) => sign.to_string(),
    });
    parts.collect::<Vec<_>>().concat()
}

/// The files that a script includes, with their lines; those under an `#!ifdef`, too.
pub(super) fn includes(text: &str) -> Vec<(usize, &str)> {
    fn name(line: &str) -> Option<&str> {
        let line = line.trim_start();
        let line = line.strip_prefix("#!").or_else(|| line.strip_prefix("!!")).unwrap_or(line);
        let rest = line.strip_prefix("include_file").or_else(|| line.strip_prefix("import_file"))?;
        rest.trim_start().strip_prefix('"')?.split('"').next()
    }
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, name(line)?))).collect()
}

/// Whether a text is a script rather than anything else that can be imported.
pub(super) fn is_script(text: &str) -> bool {
    let marks = ["#!KAMAILIO", "#!OPENSER", "#!SER", "#!ALL", "#!MAXCOMPAT"];
    let begins = |line: &str| {
        let starts = ["modparam", "loadmodule", "request_route", "route", "listen", "mpath", "include_file"];
        let line = line.trim_start();
        let is_call = || {
            let code = line.split(['#', '"']).next().unwrap_or_default();
            code.contains("ds_select") && code.contains('(')
        };
        !line.starts_with('#') && (starts.iter().any(|start| line.starts_with(start)) || is_call())
    };
    text.lines().any(|line| marks.iter().any(|mark| line.starts_with(mark)) || begins(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Script, Vec<String>) {
        let mut script = Script::default();
        let mut warnings = vec![];
        script.read(text, &"cfg".into(), &mut Constants::default(), &mut warnings);
        (script, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_parameters_of_the_modules_that_matter() {
        let (script, _) = read(
            "modparam(\"dispatcher\", \"ds_ping_interval\", 10) # x\nmodparam(\"tm|dispatcher\",'flags',\"2\")\n\
             modparam(\"usrloc\", \"db_mode\", 0)\nmodparam(\"dispatcher\", \"ds_ping_interval\", 20)\n",
        );
        assert_eq!(script.parameters.len(), 4);
        assert_eq!(script.parameter_named("dispatcher", "ds_ping_interval").unwrap().value, "20");
        assert_eq!(script.parameter_named("tm", "flags").unwrap().place.line, 2);
    }

    #[test]
    fn reads_literal_calls_and_names_the_others() {
        let (script, warnings) = read(
            "if(!ds_select_dst(\"1\", \"4\")) { }\nds_select_domain(2, 8, \"3\");\n\
             ds_select_routes(\"1=4;2=8\", \"0\", \"5\");\nds_select_dst(\"$var(set)\", \"4\");\n\
             ds_select_dst(1, $var(alg));\n# ds_select_dst(\"9\", \"4\")\nds_select_routes(\"1=4;x\", \"0\");\n",
        );
        let picks: Vec<_> = script.calls.iter().map(|call| (call.picks.clone(), call.limit)).collect();
        assert_eq!(picks, [(vec![(1, 4)], None), (vec![(2, 8)], Some(3)), (vec![(1, 4), (2, 8)], Some(5))]);
        let places: Vec<&str> = warnings.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(places, ["cfg:4", "cfg:5", "cfg:7"]);
        assert_eq!(script.used.get("ds_select_dst").unwrap().1, 3);
    }

    #[test]
    fn reads_listeners_to_the_end_of_the_line() {
        let (script, _) = read("listen=udp:10.0.0.1:5060 advertise 192.0.2.1:5060 # x\nport=5060\n");
        let listen = script.listens.first().unwrap();
        assert_eq!(listen.words, ["udp:10.0.0.1:5060", "advertise", "192.0.2.1:5060"]);
    }

    #[test]
    fn tells_a_script_from_a_list() {
        assert!(is_script("#!KAMAILIO\n"));
        assert!(is_script("  loadmodule \"tm.so\"\n"));
        assert!(is_script("  if (!ds_select_dst(\"1\", \"4\")) exit;\n"));
        assert!(!is_script("# for ds_select_dst(\"1\", \"4\")\n1 sip:h\n"));
    }

    #[test]
    fn finds_included_files_however_they_are_written() {
        let text =
            "#!include_file \"a.cfg\"\n  import_file \"/etc/b.cfg\" # x\n# include_file \"c\"\nincluded\n";
        assert_eq!(includes(text), [(1, "a.cfg"), (2, "/etc/b.cfg")]);
    }

    #[test]
    fn says_that_numbers_of_opensips_differ() {
        let (_, warnings) = read("loadmodule \"proto_udp.so\"\n");
        assert!(warnings.concat().contains("OpenSIPS"));
    }
}
