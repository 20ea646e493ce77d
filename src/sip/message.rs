//! x
use super::Via;
use super::parse::Index;
use crate::facts::Method;
use crate::facts::event::MessageKind;
/// A view of an indexed message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) index: &'a Index,
}
impl<'a> Message<'a> {
    /// The message proper: leading line ends and what follows the body are cut off.
    pub fn bytes(&self) -> &'a [u8] {
        let _ = self.index;
        self.bytes
    }
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        todo!()
    }
    /// Request or response.
    pub fn kind(&self) -> MessageKind {
        todo!()
    }
    /// The method: of the request line, or of the CSeq of a response.
    pub fn method(&self) -> Method {
        todo!()
    }
    /// The method's token.
    pub fn method_token(&self) -> &'a [u8] {
        todo!()
    }
    /// The Request-URI; empty for a response.
    pub fn request_uri(&self) -> &'a [u8] {
        todo!()
    }
    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// The reason phrase.
    pub fn reason_phrase(&self) -> &'a [u8] {
        todo!()
    }
    /// The Call-ID.
    pub fn call_id(&self) -> &'a [u8] {
        todo!()
    }
    /// The number of CSeq.
    pub fn cseq(&self) -> u32 {
        todo!()
    }
    /// The tag of From.
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        todo!()
    }
    /// The tag of To.
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        todo!()
    }
    /// The URI of From.
    pub fn from_uri(&self) -> &'a [u8] {
        todo!()
    }
    /// The URI of To.
    pub fn to_uri(&self) -> &'a [u8] {
        todo!()
    }
    /// The topmost Via value; all empty in a [`super::partial`] view that has none.
    pub fn top_via(&self) -> Via<'a> {
        todo!()
    }
    /// The Via value below the topmost one.
    pub fn second_via(&self) -> Option<Via<'a>> {
        todo!()
    }
    /// How many Via values there are.
    pub fn via_count(&self) -> usize {
        todo!()
    }
    /// The Via values from the top; one that cannot be read ends them.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> + use<'a> {
        std::iter::empty()
    }
    /// The value of Max-Forwards.
    pub fn max_forwards(&self) -> Option<u8> {
        todo!()
    }
    /// The URI of every Route value from the top.
    pub fn routes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        std::iter::empty()
    }
    /// The URI of every Record-Route value from the top.
    pub fn record_routes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        std::iter::empty()
    }
    /// The URI of the first Contact value.
    pub fn contact(&self) -> Option<&'a [u8]> {
        todo!()
    }
    /// The value of the first header line of this name, its compact form included.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers(name).next()
    }
    /// The values of all header lines of this name, its compact form included; see [`super::list`]
    /// for those that are comma lists.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let _ = name;
        std::iter::empty()
    }
    /// The body.
    pub fn body(&self) -> &'a [u8] {
        todo!()
    }
}
