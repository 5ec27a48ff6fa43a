//! GPUs that are lost again and again, and while other things are done than a reply.

use std::ops::ControlFlow;

use mar::config::Site;
use mar::cpu::Sampling;
use mar::gpu::{BURST, Device, Gpu, GpuError, GpuModel};
use mar::probe::Watch;
use mar::reply::{ReplyOptions, ReplyStream};
use mar::session::SessionError;
use pollster::block_on;

use crate::common::{chat_format, cpu_session, golden, model};
use crate::recovery::{PROMPT, cpu_engine, decode, own_gpu, prefill};

/// A GPU that could take over, and the means to lose it.
fn spare_gpu(name: &str) -> (Device, Gpu) {
    let device = block_on(Device::open(&model(name).config)).expect("a GPU");
    let gpu = block_on(async { Gpu::new(GpuModel::upload(&device, &model(name)).await?).await });
    (device, gpu.expect("a model"))
}

fn assert_lost<T: std::fmt::Debug>(result: Result<T, SessionError>) {
    let error = result.expect_err("the GPU has gone");
    assert!(matches!(&error, SessionError::Gpu(gpu) if gpu.ends_device()), "{error}");
}

/// However long the reply: what is computed again is what has come since the last copy of the state, a burst at most.
#[test]
fn ten_losses_in_one_reply_cost_a_burst_each() {
    let name = "tiny-window";
    let mut right = cpu_session(name);
    prefill(&mut right, &PROMPT).expect("a good prompt");
    let right = decode(&mut right, 240);
    let (mut device, mut session) = own_gpu(name, |device| device);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let (mut said, mut again) = (Vec::new(), session.ledger());
    for loss in 0..10 {
        // At other places within a burst each time.
        said.extend(decode(&mut session, 17 + loss));
        device.destroy();
        let mut ledger = session.ledger();
        assert_lost(block_on(session.decode(&Sampling::default(), &mut ledger)));
        let (next, gpu) = spare_gpu(name);
        let done = block_on(session.recover(gpu, &mut again)).expect("the same model");
        assert!(done.computed <= BURST, "{} tokens were computed again after loss {loss}", done.computed);
        device = next;
    }
    assert!(again.tokens > 0);
    said.extend(decode(&mut session, right.len() - said.len()));
    assert_eq!(said, right);
}

/// The one that takes over can be lost too, before it has caught up.
#[test]
fn a_second_loss_on_the_way_back_forgets_nothing() {
    let name = "tiny-window";
    let mut right = cpu_session(name);
    prefill(&mut right, &PROMPT).expect("a good prompt");
    let right = decode(&mut right, 40);
    let (device, mut session) = own_gpu(name, |device| device);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let mut said = decode(&mut session, 20);
    device.destroy();
    let mut ledger = session.ledger();
    assert_lost(block_on(session.decode(&Sampling::default(), &mut ledger)));
    for _ in 0..3 {
        let (next, gpu) = spare_gpu(name);
        next.destroy();
        assert_lost(block_on(session.recover(gpu, &mut ledger)));
        assert_eq!(session.tokens()[3..], said, "nothing is forgotten");
        assert_lost(block_on(session.decode(&Sampling::default(), &mut ledger)));
    }
    let done = block_on(session.recover(cpu_engine(name), &mut ledger)).expect("the same model");
    assert_eq!((done.reused, done.computed), (3 + 15, 5), "the copy of the first GPU is still there");
    said.extend(decode(&mut session, 20));
    assert_eq!(said, right);
}

/// A loss or a replay puts the conversation aside in main memory, and that is where it is found again.
#[test]
fn a_gpu_lost_beside_the_conversation_costs_no_token() {
    let name = "tiny-window";
    let mut right = cpu_session(name);
    prefill(&mut right, &PROMPT).expect("a good prompt");
    let right = decode(&mut right, 30);
    let (device, mut session) = own_gpu(name, |device| device);
    prefill(&mut session, &PROMPT).expect("a good prompt");
    let mut said = decode(&mut session, 10);
    let mut ledger = session.ledger();
    let text: Vec<u32> = (0..80).collect();
    let undisturbed =
        block_on(session.loss(&text, &mut ledger, async |_, _| ControlFlow::Continue(()))).expect("a loss");
    let lost = block_on(session.loss(&text, &mut ledger, async |_, _| {
        device.destroy();
        ControlFlow::Continue(())
    }));
    assert_lost(lost);
    assert_eq!(session.tokens()[3..], said);
    let (device, gpu) = spare_gpu(name);
    let done = block_on(session.recover(gpu, &mut ledger)).expect("the same model");
    assert_eq!((done.reused, done.computed), (13, 0));
    let again = block_on(session.loss(&text, &mut ledger, async |_, _| ControlFlow::Continue(()))).expect("a loss");
    assert_eq!(again, undisturbed);

    let watch = Watch::sites([(0, Site::Down)]);
    let lost = block_on(session.replay(8..13, &watch, async |done, _| {
        if done == 9 {
            device.destroy();
        }
        ControlFlow::Continue(())
    }));
    assert_lost(lost);
    let (_, gpu) = spare_gpu(name);
    assert_eq!(block_on(session.recover(gpu, &mut ledger)).expect("the same model").computed, 0);
    let records = block_on(session.replay(8..13, &watch, async |_, _| ControlFlow::Continue(()))).expect("spikes");
    assert_eq!(records.len(), 5);
    said.extend(decode(&mut session, 20));
    assert_eq!(said, right);
}

/// A conversation that was taken up from bytes is in main memory too.
#[test]
fn a_gpu_lost_behind_a_loaded_state_costs_no_token() {
    let name = "tiny-window";
    let mut right = cpu_session(name);
    prefill(&mut right, &PROMPT).expect("a good prompt");
    let mut said = decode(&mut right, 12);
    let bytes = block_on(right.to_bytes()).expect("bytes");
    let (device, mut session) = own_gpu(name, |device| device);
    device.destroy();
    session.load_bytes(&bytes).expect("its own state");
    let mut ledger = session.ledger();
    assert_lost(block_on(session.decode(&Sampling::default(), &mut ledger)));
    let (_, gpu) = spare_gpu(name);
    assert_eq!(block_on(session.recover(gpu, &mut ledger)).expect("the same model").computed, 0);
    said.extend(decode(&mut session, 8));
    assert_eq!(said[12..], decode(&mut right, 8));
}

#[test]
fn what_another_engine_cannot_mend_is_no_trouble() {
    let lost = GpuError::Lost("unplugged".into());
    assert_eq!(lost.trouble().as_deref(), Some("the GPU was lost (unplugged)"));
    assert_eq!(GpuError::Watch { bytes: 2, most: 1 }.trouble(), None);
    assert_eq!(GpuError::NoAdapter("none".into()).trouble(), None);
}

/// An engine that traps takes its memory along. What its reader has heard is enough for another.
#[test]
fn a_reply_is_taken_up_by_another_session() {
    let format = chat_format();
    let prompt = golden("mar-smalltalk")[0].tokens.clone();
    for (sampling, stop) in [
        (Sampling::default(), Vec::new()),
        (Sampling { temperature: 1.0, seed: 3, ..Sampling::default() }, vec!["a".to_owned()]),
    ] {
        let options = ReplyOptions { sampling, max_tokens: 24, stop };
        let whole = |said: &[u32]| {
            let mut session = cpu_session("mar-smalltalk");
            let (mut stream, mut ledger) = (ReplyStream::new(&format, &options), session.ledger());
            prefill(&mut session, &[&prompt, said].concat()).expect("a good prompt");
            stream.take_up(said);
            let mut heard = Vec::new();
            while let Some(text) = block_on(stream.step(&mut session, &mut ledger)).expect("a token") {
                heard.push(text);
            }
            (block_on(stream.finish(&mut session)).reply, heard.concat())
        };
        let (right, text) = whole(&[]);
        assert_eq!(text, right.text);
        for said in 0..=right.tokens.len() {
            let (reply, rest) = whole(&right.tokens[..said]);
            assert_eq!(reply, right, "taken up after {said} tokens");
            assert!(right.text.ends_with(&rest), "{rest:?} is told of anew, of {:?}", right.text);
        }
    }
}
