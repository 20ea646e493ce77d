//! x
/// The elements of a comma list, trimmed, without empty ones; quotes and `<>` are respected.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let _ = value;
    std::iter::empty()
}
/// The URI of a `name-addr` or bare URI.
pub fn element_uri(element: &[u8]) -> Option<&[u8]> {
    let _ = element;
    todo!()
}
