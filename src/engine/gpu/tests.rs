//! What follows a read-back that fails: nobody goes on from a state that may not be the conversation's.

use std::ops::ControlFlow;
use std::sync::Arc;

use pollster::block_on;

use crate::cpu::{Cpu, Kernels, Sampling};
use crate::gpu::{Device, Gpu, GpuError, GpuModel};
use crate::model::Model;
use crate::session::{Session, SessionError};

const PROMPT: [u32; 4] = [3, 1, 4, 1];

fn model() -> Model {
    crate::synth::model(crate::synth::preset("tiny").expect("a preset").expect("a config"), 0.3, 1, |_, _| {})
}

/// A conversation on a device of its own.
fn gpu(model: &Model) -> (Device, Session) {
    let device = block_on(Device::open(&model.config)).expect("these tests need a GPU or a software one");
    let gpu = block_on(async { Gpu::new(GpuModel::upload(&device, model).await?).await }).expect("a model");
    (device, Session::new(gpu))
}

fn prefill(session: &mut Session, prompt: &[u32]) -> Result<usize, SessionError> {
    let mut ledger = session.ledger();
    block_on(session.prefill(prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).map(|done| done.computed)
}

fn decode(session: &mut Session) -> Result<u32, SessionError> {
    let mut ledger = session.ledger();
    block_on(session.decode(&Sampling::default(), &mut ledger))
}

/// The first `count` tokens after [`PROMPT`], undisturbed.
fn right(model: Model, count: usize) -> Vec<u32> {
    let mut session = Session::new(Cpu::new(Arc::new(model), Kernels::best()));
    prefill(&mut session, &PROMPT).expect("a good prompt");
    (0..count).map(|_| decode(&mut session).expect("a token")).collect()
}

fn assert_broken<T: std::fmt::Debug>(result: Result<T, SessionError>) {
    let error = result.expect_err("nobody knows where the state is");
    assert!(matches!(error, SessionError::Gpu(GpuError::Broken)), "{error}");
    assert!(error.to_string().contains("prefill the conversation again"), "{error}");
}

#[test]
fn after_a_failed_burst_nothing_goes_on_from_it() {
    let model = model();
    let (device, mut session) = gpu(&model);
    let right = right(model, 12);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let mut said: Vec<u32> = (0..3).map(|_| decode(&mut session).expect("a token")).collect();
    device.fail_read(1);
    let error = decode(&mut session).expect_err("the read-back fails");
    assert!(matches!(error, SessionError::Gpu(GpuError::Fault(_))), "{error}");
    let mut ledger = session.ledger();
    assert_broken(decode(&mut session));
    assert_broken(block_on(session.save()));
    assert_broken(block_on(session.checkpoint()));
    assert_broken(block_on(session.evaluate(&PROMPT, &mut ledger)));
    assert_eq!(ledger.tokens, 0, "nothing was computed");
    assert_eq!(session.tokens(), [&PROMPT[..], &said].concat(), "what was said is still known");

    let done = block_on(session.resume(&mut ledger)).expect("the device is well");
    assert_eq!((done.reused, done.computed), (4, 3), "the prompt's end was kept");
    said.extend((0..9).map(|_| decode(&mut session).expect("a token")));
    assert_eq!(said, right);
}

#[test]
fn a_prefill_or_a_reset_mends_it() {
    let model = model();
    let (device, mut session) = gpu(&model);
    let right = right(model, 4);
    let talk = |session: &mut Session| (0..4).map(|_| decode(session).expect("a token")).collect::<Vec<_>>();
    device.fail_read(1);
    assert!(prefill(&mut session, &PROMPT).is_err());
    assert_broken(decode(&mut session));
    assert_eq!(prefill(&mut session, &PROMPT).expect("a good prompt"), 4, "nothing of the failed one is trusted");
    assert_eq!(talk(&mut session), right);

    device.fail_read(1);
    assert!(prefill(&mut session, &[2, 7]).is_err());
    session.reset();
    assert!(matches!(decode(&mut session), Err(SessionError::Empty)));
    prefill(&mut session, &PROMPT).expect("a good prompt");
    assert_eq!(talk(&mut session), right);
}

/// The way back can fail as well: it can be tried again, and no token is forgotten.
#[test]
fn a_failed_resume_forgets_nothing() {
    let model = model();
    let (device, mut session) = gpu(&model);
    let right = right(model, 6);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let mut said: Vec<u32> = (0..3).map(|_| decode(&mut session).expect("a token")).collect();
    let mut ledger = session.ledger();
    device.fail_read(1);
    assert!(decode(&mut session).is_err());
    device.fail_read(1);
    assert!(block_on(session.resume(&mut ledger)).is_err());
    assert_broken(decode(&mut session));
    block_on(session.resume(&mut ledger)).expect("the device is well");
    said.extend((0..3).map(|_| decode(&mut session).expect("a token")));
    assert_eq!(said, right);
}

/// An evaluation that fails does not cost the conversation: its state was put aside before.
#[test]
fn a_failed_evaluation_costs_nothing() {
    let model = model();
    let (device, mut session) = gpu(&model);
    let right = right(model, 5);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let mut said = vec![decode(&mut session).expect("a token")];
    let mut ledger = session.ledger();
    // The first read-back is the state's; what follows are the tokens.
    assert_eq!(block_on(session.evaluate(&[9, 9, 9], &mut ledger)).expect("logits").len(), 3 * 512);
    let mut again = session.ledger();
    device.fail_read(2);
    assert!(block_on(session.evaluate(&[9, 9, 9], &mut again)).is_err());
    assert_eq!((ledger.tokens, again.tokens), (3, 0));
    said.extend((0..4).map(|_| decode(&mut session).expect("a token")));
    assert_eq!(said, right);
}

/// A long prompt and a reply, whatever number of tokens go through the layers together.
#[test]
fn short_memory_makes_it_slower_and_nothing_else() {
    let model = model();
    let prompt: Vec<u32> = (0..100).map(|i| i * 37 % 512).collect();
    let talk = |mut session: Session| {
        prefill(&mut session, &prompt).expect("a good prompt");
        (0..20).map(|_| decode(&mut session).expect("a token")).collect::<Vec<_>>()
    };
    let device = block_on(Device::open(&model.config)).expect("these tests need a GPU or a software one");
    let uploaded = block_on(GpuModel::upload(&device, &model)).expect("a model");
    let right = talk(Session::new(Cpu::new(Arc::new(model), Kernels::best())));
    let (mut room, mut seen) = (16 << 20, Vec::new());
    let error = loop {
        device.limit_room(room);
        let gpu = match block_on(Gpu::new(Arc::clone(&uploaded))) {
            Ok(gpu) => gpu,
            Err(error) => break error,
        };
        if seen.last() != Some(&gpu.chunk()) {
            seen.push(gpu.chunk());
            device.limit_room(0);
            assert_eq!(talk(Session::new(gpu)), right, "{} tokens at a time", seen[seen.len() - 1]);
        }
        room -= room / 16;
    };
    assert_eq!(seen, [64, 16, 4, 1]);
    assert!(matches!(&error, GpuError::OutOfMemory { .. }), "{error}");
}

/// In the middle of a reply too, as often as it takes; and where nothing helps, the CPU goes on.
#[test]
fn memory_that_runs_out_on_the_way_changes_no_token() {
    let model = model();
    let (device, mut session) = gpu(&model);
    let right = right(model.clone(), 60);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let (mut said, mut ledger) = (Vec::new(), session.ledger());
    for tokens in [16, 4, 1] {
        said.extend((0..15).map(|_| decode(&mut session).expect("a token")));
        let ahead = session.engine().gpu().map_or(0, Gpu::position) as usize - session.tokens().len();
        device.limit_room(1);
        said.extend((0..ahead).map(|_| decode(&mut session).expect("it is there already")));
        let error = decode(&mut session).expect_err("nothing fits");
        assert!(matches!(error, SessionError::Gpu(GpuError::OutOfMemory { .. })), "{error}");
        device.limit_room(0);
        assert_eq!(block_on(session.make_do(&mut ledger)), Some(tokens));
    }
    device.limit_room(1);
    assert!(decode(&mut session).is_err());
    assert_eq!(block_on(session.make_do(&mut ledger)), None, "it cannot take less than a token");
    block_on(session.recover(Cpu::new(Arc::new(model), Kernels::best()), &mut ledger)).expect("the same model");
    let left = right.len() - said.len();
    said.extend((0..left).map(|_| decode(&mut session).expect("a token")));
    assert_eq!(said, right);
}
