//! Saved conversations.

use std::sync::Arc;

use mar::cpu::{Cpu, Kernels, Sampling};
use mar::format;
use mar::session::Session;
use pollster::block_on;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::{alone, model_directory, refused};

/// What refusing a state may take beside the state's own bytes.
const MOST: usize = 4 << 20;

fn session() -> Session {
    let model = format::open(&model_directory("tiny-window"), |_, _| {}).expect("a good model");
    Session::new(Cpu::new(Arc::new(model), Kernels::REFERENCE))
}

/// A good saved conversation, without the hashes at its end and at its state's.
fn saved() -> Vec<u8> {
    let mut session = session();
    let mut ledger = session.ledger();
    block_on(session.prefill(&[1, 2, 3], &mut ledger, |_, _| std::ops::ControlFlow::Continue(()))).expect("a prompt");
    block_on(session.to_bytes()).expect("bytes")
}

/// Bytes with the right hashes: an attacker can write those too.
fn sealed(saved: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = saved[..saved.len() - 32].to_vec();
    edit(&mut bytes);
    // Tokens come before the state: 8 + 4 + 4 bytes, then three of four.
    let (state, end) = (16 + 3 * 4, bytes.len() - 32);
    if state < end {
        let hash = Sha256::digest(&bytes[state..end]);
        bytes[end..].copy_from_slice(&hash);
    }
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

#[test]
fn forged_states_are_refused() {
    let _alone = alone();
    let saved = saved();
    session().load_bytes(&sealed(&saved, |_| {})).expect("a good state, sealed again");
    let state = 16 + 3 * 4;
    let numbers = state + 8 + 4 + 32 + 8;
    for (what, says, bytes) in [
        ("4 billion tokens", "damaged", sealed(&saved, |b| b[12..16].copy_from_slice(&u32::MAX.to_le_bytes()))),
        (
            "fewer tokens than there are",
            "saved MAR state",
            sealed(&saved, |b| b[12..16].copy_from_slice(&2u32.to_le_bytes())),
        ),
        (
            "a token that does not exist",
            "token",
            sealed(&saved, |b| b[16..20].copy_from_slice(&u32::MAX.to_le_bytes())),
        ),
        (
            "a position beyond all",
            "damaged",
            sealed(&saved, |b| b[state + 44..state + 52].copy_from_slice(&u64::MAX.to_le_bytes())),
        ),
        (
            "a number that is none",
            "damaged",
            sealed(&saved, |b| b[numbers..numbers + 4].copy_from_slice(&f32::NAN.to_le_bytes())),
        ),
        (
            "an infinite number",
            "damaged",
            sealed(&saved, |b| b[numbers..numbers + 4].copy_from_slice(&f32::INFINITY.to_le_bytes())),
        ),
        ("a state cut short", "damaged", sealed(&saved, |b| b.truncate(b.len() - 64))),
        ("a state of 64 MiB", "damaged", sealed(&saved, |b| b.resize(64 << 20, 0))),
        ("64 MiB of nothing", "not a saved MAR state", vec![0; 64 << 20]),
        ("nothing", "not a saved MAR state", Vec::new()),
    ] {
        let mut session = session();
        refused(what, says, MOST, || session.load_bytes(&bytes));
        // It goes on as it was.
        let mut ledger = session.ledger();
        block_on(session.prefill(&[4, 5], &mut ledger, |_, _| std::ops::ControlFlow::Continue(()))).expect("a prompt");
        block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any change under right hashes is refused, or is a state that runs.
    #[test]
    fn changed_states_never_panic(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let _alone = alone();
        let bytes = sealed(&saved(), |b| { let at = at.index(b.len()); b[at] ^= flip; });
        let mut session = session();
        let _ = session.load_bytes(&bytes);
        let mut ledger = session.ledger();
        block_on(session.prefill(&[4, 5], &mut ledger, |_, _| std::ops::ControlFlow::Continue(()))).expect("a prompt");
        block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token");
    }
}
