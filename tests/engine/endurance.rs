//! Long, at once, and broken off: what people do to a conversation and to a download.

use std::fs;
use std::ops::ControlFlow;
use std::thread;

use mar::cpu::{Cpu, Kernels, Sampling};
use mar::loader::Loader;
use mar::session::Session;
use pollster::block_on;

use crate::common::{chat_format, cpu_session, directory, gpu_session, model};

fn talk(session: &mut Session, prompt: &[u32], sampling: &Sampling, count: usize) -> Vec<u32> {
    let mut ledger = session.ledger();
    block_on(session.prefill(prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
    (0..count).map(|_| block_on(session.decode(sampling, &mut ledger)).expect("a token")).collect()
}

/// Two threads, one copy of the weights, each conversation as if it were alone.
#[test]
fn two_conversations_at_once_share_a_model() {
    let (name, greedy) = ("tiny-window", Sampling::default());
    let prompts: [&[u32]; 2] = [&[1, 2, 3], &[4, 5]];
    let alone = prompts.map(|prompt| talk(&mut cpu_session(name), prompt, &greedy, 400));
    assert_ne!(alone[0], alone[1]);
    let model = model(name);
    let together = thread::scope(|scope| {
        let threads = prompts.map(|prompt| {
            let (model, greedy) = (model.clone(), &greedy);
            scope.spawn(move || talk(&mut Session::new(Cpu::new(model, Kernels::best())), prompt, greedy, 400))
        });
        threads.map(|thread| thread.join().expect("no panic"))
    });
    assert_eq!(together, alone);
    // And in turns, on one thread.
    let mut sessions = [cpu_session(name), cpu_session(name)];
    for (session, prompt) in sessions.iter_mut().zip(prompts) {
        assert_eq!(talk(session, prompt, &greedy, 1).len(), 1);
    }
    let mut said = alone.clone().map(|tokens| vec![tokens[0]]);
    for _ in 1..50 {
        for (session, said) in sessions.iter_mut().zip(&mut said) {
            let mut ledger = session.ledger();
            said.push(block_on(session.decode(&greedy, &mut ledger)).expect("a token"));
        }
    }
    for (said, alone) in said.iter().zip(&alone) {
        assert_eq!(said[..], alone[..50]);
    }
}

#[test]
fn the_same_seed_says_the_same() {
    let backends: [fn(&str) -> Session; 2] = [cpu_session, gpu_session];
    for new_session in backends {
        let say = |seed| {
            let sampling = Sampling { temperature: 1.0, top_p: 0.95, seed, ..Sampling::default() };
            talk(&mut new_session("mar-smalltalk"), &[1, 50, 60, 70], &sampling, 40)
        };
        let first = say(7);
        assert_eq!(say(7), first);
        assert_ne!(say(8), first);
        // In one session too, whatever was said before.
        let mut session = new_session("mar-smalltalk");
        let warm = |seed| Sampling { temperature: 1.0, top_p: 0.95, seed, ..Sampling::default() };
        talk(&mut session, &[9, 9], &warm(1), 5);
        assert_eq!(talk(&mut session, &[1, 50, 60, 70], &warm(7), 40), first);
    }
}

#[test]
fn a_hundred_thousand_characters_go_to_their_end() {
    let text: String = "The quick brown fox. Ünd 世界! ".chars().cycle().take(100_000).collect();
    // The tokenizer takes the text whole, and the network takes every token of it.
    let tokens = chat_format().encode_text(&text).expect("tokens");
    assert!(tokens.len() > 20_000, "{}", tokens.len());
    let small: Vec<u32> = tokens.iter().map(|token| token % 101).collect();
    let mut session = cpu_session("tiny-odd");
    let (mut ledger, mut calls) = (session.ledger(), 0);
    let done = block_on(session.prefill(&small, &mut ledger, |done, all| {
        assert!(done <= all && all == small.len());
        calls += 1;
        ControlFlow::Continue(())
    }))
    .expect("a good prompt");
    assert_eq!((done.reused, done.computed), (0, small.len()));
    assert_eq!((session.tokens(), ledger.tokens), (&small[..], small.len() as u64));
    assert!(calls > small.len() / 64, "it can be stopped at every chunk");
    let whole = talk(&mut session, &small, &Sampling::default(), 20);
    // Its state says what the same tokens say one by one: that of the last quarter, from where it was kept.
    let mut parts = cpu_session("tiny-odd");
    let cut = small.len() * 3 / 4 + 1;
    talk(&mut parts, &small[..cut], &Sampling::default(), 0);
    assert_eq!(talk(&mut parts, &small, &Sampling::default(), 20), whole);
}

/// A load that is given up leaves nothing behind, and another begins from the first byte.
#[test]
fn a_load_can_be_broken_off_and_begun_again() {
    let read = |file: &str| fs::read(directory("mar-smalltalk").join(file)).expect("a file of the model");
    let weights = read("model.safetensors");
    let begin = || {
        let mut loader = Loader::new();
        for file in ["manifest.json", "config.json"] {
            loader.file(file, read(file)).expect("a good file");
        }
        loader.weights("model.safetensors", weights.len() as u64).expect("the right size");
        loader
    };
    for cut in [0, 1, 8, 5000, weights.len() / 2, weights.len() - 1] {
        let mut loader = begin();
        loader.push(&weights[..cut]).expect("good so far");
        drop(loader);
        let mut loader = begin();
        loader.push(&weights[..cut]).expect("good so far");
        let error = loader.finish().expect_err("half a model").to_string();
        assert!(error.starts_with("model.safetensors"), "{cut}: {error}");
    }
    // A loader does not begin its weights twice; a new one does.
    let mut loader = begin();
    loader.push(&weights[..weights.len() / 2]).expect("good so far");
    assert!(loader.weights("model.safetensors", weights.len() as u64).is_err());
    let mut loader = begin();
    weights.chunks(100_000).for_each(|piece| loader.push(piece).expect("good"));
    assert_eq!(
        loader.finish().expect("a whole model").weights.into_model().expect("a model in memory"),
        *model("mar-smalltalk")
    );
}
