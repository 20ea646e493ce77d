//! Hexadecimal digits as our own tokens use them: lower case, of fixed length.

/// Appends the lowest `digits` hexadecimal digits of a number.
pub fn write_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..digits).rev().map(|place| {
        let nibble = value >> (4 * place) & 0xf;
        DIGITS.get(nibble as usize).copied().unwrap_or(b'0')
    }));
}

/// Reads lower-case hexadecimal digits, at most 16.
pub fn read_hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        for (value, digits, text) in
            [(0, 1, "0"), (0xab, 2, "ab"), (0xab, 4, "00ab"), (u64::MAX, 16, "ffffffffffffffff")]
        {
            let mut out = b"=".to_vec();
            write_hex(value, digits, &mut out);
            assert_eq!(out, format!("={text}").as_bytes());
            assert_eq!(read_hex(text.as_bytes()), Some(value));
        }
        for wrong in ["", "AB", "0x1", " 1", "g", "+1", "00000000000000000"] {
            assert_eq!(read_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
