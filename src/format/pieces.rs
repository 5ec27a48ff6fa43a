//! Weights as one file or in pieces of one (`models/FORMAT.md`, "Pieces"): names and sizes.

use super::manifest::CHUNK_BYTES;

/// The weights, whole.
pub const WEIGHTS: &str = "model.safetensors";

/// Pieces that the weights may lie in: two digits number them.
const MAX_PIECES: usize = 100;

/// Bytes of weights that are written as one file.
const LARGEST_FILE: usize = 20_000_000;

/// Bytes of every piece but the last that are written; more, where they would be over [`MAX_PIECES`].
const PIECE_BYTES: usize = 19 << 20;

/// The name of a piece, from `model.safetensors.00` on.
pub fn piece_name(number: usize) -> String {
    format!("{WEIGHTS}.{number:02}")
}

/// Whether a file holds weights, by its name: `model.safetensors` or a piece of it.
pub fn is_weights(name: &str) -> bool {
    let digits = name.strip_prefix(WEIGHTS).and_then(|rest| rest.strip_prefix('.'));
    name == WEIGHTS || digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks the sorted names of all files that hold weights: the whole alone, or pieces of which none is left out.
pub(super) fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let mut names = names.into_iter().peekable();
    if names.next_if_eq(&WEIGHTS).is_some() {
        let beside = |piece| format!("{WEIGHTS} lies beside {piece}; remove what is old");
        return names.next().map_or(Ok(()), |piece| Err(beside(piece)));
    }
    for (number, name) in names.enumerate() {
        let expected = piece_name(number);
        if name != expected {
            return Err(format!("{expected} is missing; fetch the model again"));
        }
    }
    Ok(())
}

/// Checks the sizes of all files that hold weights, in order: whole chunks in every piece but the last.
pub(super) fn check_sizes<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Result<(), String> {
    let mut files = files.into_iter().peekable();
    while let Some((name, bytes)) = files.next() {
        if name != WEIGHTS && bytes == 0 {
            return Err(format!("{name} is empty"));
        }
        if files.peek().is_some() && !bytes.is_multiple_of(CHUNK_BYTES) {
            return Err(format!("{name} has {bytes} bytes, expected a multiple of {CHUNK_BYTES} in all but the last"));
        }
    }
    Ok(())
}

/// Cuts the contents of `model.safetensors` into the files that hold it: (name, contents).
pub(super) fn split(weights: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    if weights.len() <= LARGEST_FILE {
        return vec![(WEIGHTS.into(), weights)];
    }
    let least = weights.len().div_ceil(MAX_PIECES).next_multiple_of(CHUNK_BYTES as usize);
    let pieces = weights.chunks(PIECE_BYTES.max(least)).enumerate();
    pieces.map(|(number, bytes)| (piece_name(number), bytes.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_weights() {
        assert!(["model.safetensors", "model.safetensors.00", "model.safetensors.99"].into_iter().all(is_weights));
        let others = [
            "model.safetensors.0",
            "model.safetensors.000",
            "model.safetensors.+1",
            "model.safetensors00",
            "config.json",
        ];
        assert!(!others.into_iter().any(is_weights));
    }

    #[test]
    fn what_is_written_keeps_the_rules() {
        const MIB: usize = 1 << 20;
        for (bytes, pieces) in [(LARGEST_FILE, 1), (LARGEST_FILE + 1, 2), (38 * MIB, 2), (38 * MIB + 1, 3)] {
            let weights: Vec<u8> = (0..bytes).map(|i| (i / MIB) as u8).collect();
            let files = split(weights.clone());
            assert_eq!(files.len(), pieces, "{bytes}");
            check_names(files.iter().map(|(name, _)| name.as_str())).expect("good names");
            check_sizes(files.iter().map(|(name, bytes)| (name.as_str(), bytes.len() as u64))).expect("good sizes");
            assert_eq!(files.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>(), weights);
        }
    }

    #[test]
    fn pieces_that_are_not_those_of_one_file() {
        for (names, says) in [
            (&["model.safetensors", "model.safetensors.00"][..], "lies beside model.safetensors.00"),
            (&["model.safetensors.01"], "model.safetensors.00 is missing"),
            (&["model.safetensors.00", "model.safetensors.02"], "model.safetensors.01 is missing"),
        ] {
            let error = check_names(names.iter().copied()).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
        for (sizes, says) in [
            (&[CHUNK_BYTES - 1, 5][..], "model.safetensors.00 has 1048575 bytes"),
            (&[CHUNK_BYTES, CHUNK_BYTES + 1, 5], "model.safetensors.01 has 1048577 bytes"),
            (&[0, 5], "model.safetensors.00 is empty"),
            (&[CHUNK_BYTES, 0], "model.safetensors.01 is empty"),
        ] {
            let named: Vec<_> = sizes.iter().enumerate().map(|(number, &bytes)| (piece_name(number), bytes)).collect();
            let error = check_sizes(named.iter().map(|(name, bytes)| (name.as_str(), *bytes))).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
