//! A SIP message as text, read just far enough to follow a call.

/// A message received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    text: String,
}

impl Message {
    /// Takes what came from the wire.
    pub fn new(bytes: &[u8]) -> Self {
        Self { text: String::from_utf8_lossy(bytes).into_owned() }
    }

    /// The whole of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first line.
    pub fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status code of a response.
    pub fn code(&self) -> Option<u16> {
        self.start_line().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        self.header("CSeq").and_then(|value| value.split_whitespace().nth(1)).unwrap_or_default()
    }

    /// The number in CSeq.
    pub fn sequence(&self) -> u32 {
        self.header("CSeq")
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    }

    /// Whether this is a response with the code to a request with the method.
    pub fn answers(&self, method: &str, code: u16) -> bool {
        self.code() == Some(code) && self.method() == method
    }

    /// Whether this is a final response to a request with the method.
    pub fn is_final(&self, method: &str) -> bool {
        self.code().is_some_and(|code| code >= 200) && self.method() == method
    }

    /// Whether this is a request with the method.
    pub fn requests(&self, method: &str) -> bool {
        self.code().is_none() && self.method() == method
    }

    /// The first header of the name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of the name, in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What follows the headers.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
