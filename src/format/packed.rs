//! Packed integer rows: reading one field, and the checks a reader makes (`models/FORMAT.md`, "Packed matrices").

use crate::config::WeightKind;

/// The integer at `column` of a packed row.
#[inline]
pub fn field(row: &[u8], column: usize, kind: WeightKind) -> i32 {
    let bits = kind.bits();
    let at = column * bits;
    let up = 32 - bits - at % 8;
    ((u32::from(row[at / 8]) << up) as i32) >> (32 - bits)
}

/// What `check` found amiss.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The row-major place of an integer that is its field's lowest value.
    Lowest(usize),
    /// The place of a byte with padding bits that are not zero.
    Padding(usize),
}

/// Looks for the lowest value in any field, and for padding that is not zero.
pub(super) fn check(data: &[u8], columns: usize, kind: WeightKind) -> Result<(), Flaw> {
    let row_bytes = kind.row_bytes(columns);
    let (whole, rest) = (columns * kind.bits() / 8, columns * kind.bits() % 8);
    let lowest = lowest_in_byte(kind);
    for (index, row) in data.chunks_exact(row_bytes).enumerate() {
        if row.iter().any(|&byte| lowest[usize::from(byte)]) {
            let fields = row_bytes * 8 / kind.bits();
            let column = (0..fields).find(|&c| field(row, c, kind) < -kind.max()).unwrap_or(0);
            return Err(Flaw::Lowest(index * columns + column));
        }
        let used = if rest == 0 { 0 } else { (1 << rest) - 1 };
        for (offset, &byte) in row.iter().enumerate().skip(whole) {
            let padding = if offset == whole { byte & !used } else { byte };
            if padding != 0 {
                return Err(Flaw::Padding(index * row_bytes + offset));
            }
        }
    }
    Ok(())
}

/// Which bytes have a field with its lowest value, -2^(bits - 1).
fn lowest_in_byte(kind: WeightKind) -> [bool; 256] {
    std::array::from_fn(|byte| (0..8 / kind.bits()).any(|c| field(&[byte as u8], c, kind) < -kind.max()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_by_hand() {
        let byte = [0b1110_0111];
        assert_eq!(field(&byte, 0, WeightKind::Int8), -25);
        assert_eq!([0, 1].map(|c| field(&byte, c, WeightKind::Int4)), [7, -2]);
        assert_eq!([0, 1, 2, 3].map(|c| field(&[0b1100_0111], c, WeightKind::Ternary)), [-1, 1, 0, -1]);
    }

    #[test]
    fn flaws_are_found() {
        let mut row = [0u8; 32];
        assert_eq!(check(&row, 33, WeightKind::Int4), Ok(()));
        row[16] = 0x10;
        assert_eq!(check(&row, 33, WeightKind::Int4), Err(Flaw::Padding(16)));
        row[16] = 0x08;
        assert_eq!(check(&row, 33, WeightKind::Int4), Err(Flaw::Lowest(32)));
        assert_eq!(check(&[0x80; 16], 16, WeightKind::Int8), Err(Flaw::Lowest(0)));
        assert_eq!(check(&[0b1000; 16], 64, WeightKind::Ternary), Err(Flaw::Lowest(1)));
    }
}
