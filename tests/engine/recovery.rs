//! What a conversation survives: a GPU that is lost with a burst in flight, a backend that changes, more watched than fits.

use std::ops::ControlFlow;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels, Sampling};
use mar::gpu::{Device, Gpu, GpuError, GpuModel};
use mar::probe::Watch;
use mar::reply::{FinishReason, Finished, ReplyOptions, ReplyStream};
use mar::session::{Session, SessionError};
use pollster::block_on;

use crate::common::{chat_format, cpu_session, golden, gpu_device, gpu_session, model};

pub const PROMPT: [u32; 3] = [5, 6, 7];

pub fn prefill(session: &mut Session, prompt: &[u32]) -> Result<usize, SessionError> {
    let mut ledger = session.ledger();
    block_on(session.prefill(prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).map(|done| done.computed)
}

pub fn decode(session: &mut Session, count: usize) -> Vec<u32> {
    let mut ledger = session.ledger();
    (0..count).map(|_| block_on(session.decode(&Sampling::default(), &mut ledger)).expect("a token")).collect()
}

/// A conversation on a device of its own: what happens to it happens to nobody else.
pub fn own_gpu(name: &str, change: impl FnOnce(Device) -> Device) -> (Device, Session) {
    let model = model(name);
    let device = change(block_on(Device::open(&model.config)).expect("a GPU"));
    let gpu = block_on(async { Gpu::new(GpuModel::upload(&device, &model).await?).await }).expect("a model");
    (device, Session::new(gpu))
}

pub fn cpu_engine(name: &str) -> Cpu {
    Cpu::new(model(name), Kernels::best())
}

/// Bursts are of 1, 2, 4, … tokens: after 5 tokens two more have been computed that nobody has seen.
#[test]
fn a_gpu_lost_with_a_burst_in_flight_changes_no_token() {
    for name in ["tiny-window", "mar-smalltalk"] {
        let mut right = cpu_session(name);
        prefill(&mut right, &PROMPT).expect("a good prompt");
        let right = decode(&mut right, 40);
        for before in [0, 1, 5, 6, 20] {
            let (device, mut session) = own_gpu(name, |device| device);
            session.watch(Watch::sites([(0, Site::Down)]));
            prefill(&mut session, &PROMPT).expect("a good prompt");
            let mut said = decode(&mut session, before);
            device.destroy();
            // What was computed ahead is not given out: the device that could go on from it has gone.
            let mut ledger = session.ledger();
            let error = block_on(session.decode(&Sampling::default(), &mut ledger)).expect_err("the device is gone");
            assert!(matches!(&error, SessionError::Gpu(gpu) if gpu.ends_device()), "{error}");
            assert!(prefill(&mut session, &[1, 2]).is_err(), "nor does it start anything else");

            let mut again = session.ledger();
            let done = if before % 2 == 0 {
                block_on(session.recover(cpu_engine(name), &mut again))
            } else {
                let new = block_on(Device::open(&model(name).config)).expect("another GPU");
                let new = block_on(async { Gpu::new(GpuModel::upload(&new, &model(name)).await?).await });
                block_on(session.recover(new.expect("a model"), &mut again))
            };
            let done = done.expect("the same model");
            // The prompt's end was kept, and the state before the first long burst.
            let kept = if before > 15 { 15 } else { 0 };
            assert_eq!((done.reused, done.computed), (3 + kept, before - kept));
            assert_eq!((ledger.tokens, again.tokens), (0, (before - kept) as u64));
            said.extend(decode(&mut session, 40 - before));
            assert_eq!(said, right, "{name}, lost after {before}");
            assert_eq!(session.tokens()[3..], right);
            let seen: usize = session.take_records().iter().map(|record| record.tokens()).sum();
            assert_eq!(seen, 3 + 40, "each token is seen once");
        }
    }
}

#[test]
fn only_an_engine_of_the_same_model_takes_over() {
    let (device, mut session) = own_gpu("tiny-window", |device| device);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let said = decode(&mut session, 3);
    device.destroy();
    let mut ledger = session.ledger();
    let error = block_on(session.recover(cpu_engine("tiny-odd"), &mut ledger)).expect_err("another model");
    assert!(matches!(error, SessionError::State(_)), "{error}");
    assert_eq!(session.tokens()[3..], said, "nothing is forgotten");
    block_on(session.recover(cpu_engine("tiny-window"), &mut ledger)).expect("the same model");
    decode(&mut session, 3);
}

/// The state that could not be kept does not cost the text.
#[test]
fn a_finished_reply_outlives_the_gpu() {
    let format = chat_format();
    let (device, mut session) = own_gpu("mar-smalltalk", |device| device);
    let prompt = golden("mar-smalltalk")[0].tokens.clone();
    prefill(&mut session, &prompt).expect("a good prompt");
    let options = ReplyOptions { sampling: Sampling::default(), max_tokens: 6, stop: Vec::new() };
    let (mut stream, mut ledger, mut heard) = (ReplyStream::new(&format, &options), session.ledger(), String::new());
    while let Some(text) = block_on(stream.step(&mut session, &mut ledger)).expect("a token") {
        heard.push_str(&text);
    }
    device.destroy();
    let Finished { reply, kept } = block_on(stream.finish(&mut session));
    assert!(matches!(kept, Err(SessionError::Gpu(GpuError::Lost(_)))), "{kept:?}");
    assert_eq!((reply.text, reply.tokens.len(), reply.finish_reason), (heard.clone(), 6, FinishReason::Length));
    assert!(!heard.is_empty());
}

/// Neither the prompt's end nor the token after it is computed again.
#[test]
fn a_saved_state_goes_on_on_another_backend() {
    let backends: [fn(&str) -> Session; 2] = [cpu_session, gpu_session];
    for name in ["tiny-window", "mar-smalltalk"] {
        let mut right = cpu_session(name);
        prefill(&mut right, &PROMPT).expect("a good prompt");
        let right = decode(&mut right, 32);
        for from in backends {
            for to in backends {
                let mut first = from(name);
                prefill(&mut first, &PROMPT).expect("a good prompt");
                let mut said = decode(&mut first, 6);
                let (bytes, tokens) = (block_on(first.save()).expect("bytes"), first.tokens().to_vec());
                let mut second = to(name);
                second.load(&bytes, &tokens).expect("its own state");
                // It decodes at once: the logits were saved.
                said.extend(decode(&mut second, 26));
                assert_eq!(said, right, "{name}");
                // And the one that was saved is as it was.
                assert_eq!(decode(&mut first, 26), right[6..]);
                let all = second.tokens().to_vec();
                assert_eq!(prefill(&mut second, &all).expect("all of it"), 0);
            }
        }
    }
}

#[test]
fn an_evaluation_leaves_the_conversation_as_it_was() {
    let backends: [fn(&str) -> Session; 2] = [cpu_session, gpu_session];
    for new_session in backends {
        let mut right = new_session("tiny-window");
        prefill(&mut right, &PROMPT).expect("a good prompt");
        let right = decode(&mut right, 20);
        let mut session = new_session("tiny-window");
        let mut ledger = session.ledger();
        let fresh = block_on(session.evaluate(&[1, 2, 3], &mut ledger)).expect("logits");
        prefill(&mut session, &PROMPT).expect("a good prompt");
        let mut said = decode(&mut session, 5);
        assert_eq!(block_on(session.evaluate(&[1, 2, 3], &mut ledger)).expect("logits"), fresh);
        assert_eq!((fresh.len(), ledger.tokens), (3 * 89, 6));
        said.extend(decode(&mut session, 15));
        assert_eq!(said, right);
        let error = block_on(session.evaluate(&[89], &mut ledger)).expect_err("unknown").to_string();
        assert_eq!(error, "token 89 is not in the vocabulary of 89");
    }
}

#[test]
fn more_watched_than_fits_is_a_sentence() {
    let name = "mar-smalltalk";
    let layers = model(name).config.n_layers;
    let prompt: Vec<u32> = (0..80).collect();
    let (_, mut right) = own_gpu(name, |device| device);
    right.watch(Watch::all(layers));
    prefill(&mut right, &prompt[..1]).expect("a good prompt");
    let said = decode(&mut right, 12);
    let seen = right.take_records();

    // Room for the state and for a few tokens of all that can be watched, not for a chunk of 64.
    let (_, mut session) = own_gpu(name, |device| device.with_buffer_bytes(1 << 20));
    session.watch(Watch::all(layers));
    let error = prefill(&mut session, &prompt).expect_err("too much");
    assert!(matches!(error, SessionError::Gpu(GpuError::Watch { most: 1_048_576, .. })), "{error}");
    assert!(error.to_string().contains("watch fewer sites, or use the CPU backend"), "{error}");
    // Bursts become as short as they must, and the tokens are the same.
    prefill(&mut session, &prompt[..1]).expect("one token fits");
    assert_eq!(decode(&mut session, 12), said);
    assert_eq!(session.take_records(), seen);
    // Nothing is broken: without the watch the long prompt goes.
    session.watch(Watch::default());
    prefill(&mut session, &prompt).expect("a good prompt");

    // A conversation whose state could never be read back is refused at once.
    let device = gpu_device(&model(name).config).with_buffer_bytes(1000);
    let uploaded = block_on(GpuModel::upload(&device, &model(name))).expect("a model");
    let error = block_on(Gpu::new(uploaded)).expect_err("too small").to_string();
    assert!(error.contains("offers 1000 bytes a buffer, and this needs"), "{error}");
}
