//! What a conversation takes of memory: the model and its states, and no more with every token. A test binary of its own: it
//! counts what is allocated, one test at a time.
#![cfg(target_os = "linux")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mar::chat::{ChatFiles, ChatFormat};
use mar::cpu::{Cpu, Kernels, Sampling};
use mar::format;
use mar::model::State;
use mar::session::Session;
use peak_alloc::PeakAlloc;
use pollster::block_on;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What there is beside a model and its state, however small they are: a chunk of a file that is not checked yet, and the
/// buffers of a pass of 64 tokens.
const BUFFERS: usize = 2 << 20;

/// States that a session keeps to come back to.
const CHECKPOINTS: usize = 32 << 20;

/// Does something; returns what came of it, the bytes that it allocated at most, and those that are still there.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = work();
    (done, MEMORY.peak_usage().saturating_sub(before), MEMORY.current_usage().saturating_sub(before))
}

/// Bytes of this process in main memory.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux process");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("the resident pages");
    pages * 4096
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A conversation on the CPU.
fn session(directory: &Path) -> Session {
    let model = format::open(directory, |_, _| {}).expect("a good model");
    Session::new(Cpu::new(Arc::new(model), Kernels::best()))
}

fn prefill(session: &mut Session, prompt: &[u32]) {
    let mut ledger = session.ledger();
    block_on(session.prefill(prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
}

fn decode(session: &mut Session, tokens: usize) {
    let mut ledger = session.ledger();
    for _ in 0..tokens {
        block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token");
    }
}

/// How a model chats.
fn chat_format(directory: &Path, vocab_size: usize) -> ChatFormat {
    let read = |name| fs::read(directory.join(name)).expect("a file of the model");
    let files = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"].map(read);
    let [tokenizer, tokenizer_config, generation_config] = &files;
    ChatFormat::parse(ChatFiles { tokenizer, tokenizer_config, generation_config }, vocab_size).expect("a good format")
}

/// Loading, a prompt and an answer take the model's bytes and a fifth, its state, and [`BUFFERS`]. The tokenizer comes on top,
/// and with further turns their [`CHECKPOINTS`].
#[test]
fn a_conversation_takes_the_model_and_its_state() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // What building the tokenizer may take, and what it may have then.
    for (name, building, built) in [("mar-smalltalk", 3 << 20, 2 << 20), ("mar-smollm2-135m", 22 << 20, 8 << 20)] {
        let directory = root().join("models").join(name);
        let files = format::weights_files(&directory).expect("the weights' names");
        let size = |name: &String| fs::metadata(directory.join(name)).expect("weights").len() as usize;
        let model: usize = files.iter().map(size).sum();
        let (mut session, loading, loaded) = counted(|| session(&directory));
        let config = session.engine().config().clone();
        let state = State::bytes_of(&config);
        let prompt: Vec<u32> = (0..200).map(|i| i * 37 % config.vocab_size as u32).collect();
        let mut turn = |prompt: &[u32]| {
            prefill(&mut session, prompt);
            decode(&mut session, 16);
            session.tokens().to_vec()
        };
        let (mut tokens, replying, _) = counted(|| turn(&prompt));
        let most = loading.max(loaded + replying);
        let (_, talking, _) = counted(|| {
            for _ in 0..4 {
                tokens.extend([1, 2, 3]);
                tokens = turn(&tokens);
            }
        });
        let (_, tokenizer, kept) = counted(|| chat_format(&directory, config.vocab_size));
        println!(
            "{name}: {model} bytes, and {state} a state; loading takes {loading}, and with a reply {most}; four more take \
             {talking}; building the tokenizer takes {tokenizer}, and it has {kept}"
        );
        assert!(most < model * 6 / 5 + state + BUFFERS, "{name}: {most} bytes");
        assert!(talking < CHECKPOINTS, "{name}: {talking} bytes for four more turns");
        assert!(tokenizer < building && kept < built, "{name}: the tokenizer takes {tokenizer} bytes, and has {kept}");
    }
}

#[test]
fn ten_thousand_tokens_stay_flat() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut session = session(&root().join("tests/golden/models/tiny-window"));
    prefill(&mut session, &[1, 2, 3]);
    let mut after = |tokens| {
        decode(&mut session, tokens);
        resident()
    };
    let (warm, late) = (after(1_000), after(10_000));
    println!("{warm} bytes after 1,000 tokens, {late} after 11,000");
    // The tokens themselves are kept, four bytes each.
    assert!(late < warm + (256 << 10), "{warm} bytes after 1,000 tokens, {late} after 11,000");
}
