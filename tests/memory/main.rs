//! The memory of a conversation does not grow with its length. A test binary of its own: no other test may allocate meanwhile.
#![cfg(target_os = "linux")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mar::cpu::{Cpu, Kernels, Sampling};
use mar::format;
use mar::session::Session;
use pollster::block_on;

/// Bytes of this process in main memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux process");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("the resident pages");
    pages * 4096
}

#[test]
fn ten_thousand_tokens_stay_flat() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/tiny-window");
    let model = format::open(&directory, |_, _| {}).expect("a good model");
    let mut session = Session::new(Cpu::new(Arc::new(model), Kernels::best()));
    let mut ledger = session.ledger();
    block_on(session.prefill(&[1, 2, 3], &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
    let mut decode = |count: usize| {
        for _ in 0..count {
            block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token");
        }
        resident()
    };
    let warm = decode(1_000);
    let late = decode(10_000);
    println!("{warm} bytes after 1,000 tokens, {late} after 11,000");
    // The tokens themselves are kept, four bytes each.
    assert!(late < warm + (256 << 10), "{warm} bytes after 1,000 tokens, {late} after 11,000");
}
