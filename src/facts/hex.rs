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

/// Reads the 32 lower-case hexadecimal digits of a trace id or a UUID.
pub fn read_wide_hex(digits: &[u8]) -> Option<u128> {
    let (high, low) = digits.split_at_checked(16).filter(|(_, low)| low.len() == 16)?;
    Some(u128::from(read_hex(high)?) << 64 | u128::from(read_hex(low)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_number_has_32_digits() {
        let digits = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(read_wide_hex(digits.as_bytes()), Some(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c));
        for wrong in
            ["", &digits[1..], &format!("{digits}0"), &digits.to_uppercase(), &digits.replace('9', "-")]
        {
            assert_eq!(read_wide_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }

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
