//! What only a GPU does: bursts, states that change backends, being lost. What it shares with the CPU is in `session.rs`.

use std::ops::ControlFlow;

use mar::config::Site;
use mar::cpu::{Cpu, Kernels, Sampling};
use mar::format::{self, WeightsReader};
use mar::gpu::{Device, Gpu, GpuError, GpuModel, GpuModelBuilder};
use mar::probe::{Record, Watch};
use mar::session::{Session, SessionError};
use pollster::block_on;

use crate::common::{argmax, cpu_session, directory, golden, gpu_device, gpu_model, gpu_session, model};

fn prefill(session: &mut Session, prompt: &[u32]) {
    let mut ledger = session.ledger();
    block_on(session.prefill(prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
}

fn decode(session: &mut Session, sampling: &Sampling, count: usize) -> Vec<u32> {
    let mut ledger = session.ledger();
    (0..count).map(|_| block_on(session.decode(sampling, &mut ledger)).expect("a token")).collect()
}

fn greedy() -> Sampling {
    Sampling::default()
}

#[test]
fn greedy_tokens_equal_the_cpus() {
    let prompt = golden("mar-smalltalk")[0].tokens.clone();
    let mut cpu = cpu_session("mar-smalltalk");
    prefill(&mut cpu, &prompt);
    decode(&mut cpu, &greedy(), 256);
    let tokens = cpu.tokens().to_vec();
    let logits = |session: &mut Session| {
        let mut ledger = session.ledger();
        (block_on(session.evaluate(&tokens, &mut ledger)).expect("logits"), ledger)
    };
    let ((on_cpu, cpu_ledger), (on_gpu, gpu_ledger)) = (logits(&mut cpu), logits(&mut gpu_session("mar-smalltalk")));
    let pairs = on_cpu.chunks_exact(4096).zip(on_gpu.chunks_exact(4096));
    let wrong = pairs.filter(|(a, b)| argmax(a) != argmax(b)).count();
    println!("{wrong} of {} teacher-forced greedy tokens differ between CPU and GPU", tokens.len());
    assert_eq!(wrong, 0);
    println!("{} spikes on the CPU, {} on the GPU", cpu_ledger.spikes(), gpu_ledger.spikes());
    assert!(cpu_ledger.spikes().abs_diff(gpu_ledger.spikes()) * 100_000 <= cpu_ledger.spikes());
}

#[test]
fn bursts_bring_the_tokens_of_single_steps() {
    let prompt = [3, 1, 4, 1, 5];
    for sampling in
        [greedy(), Sampling { temperature: 0.8, top_k: 20, top_p: 0.9, repetition_penalty: 1.2, seed: 11, ..greedy() }]
    {
        let mut in_bursts = gpu_session("tiny-window");
        prefill(&mut in_bursts, &prompt);
        let tokens = decode(&mut in_bursts, &sampling, 40);
        // Told that one token is wanted, the GPU computes no more.
        let mut one_by_one = gpu_session("tiny-window");
        prefill(&mut one_by_one, &prompt);
        for token in &tokens {
            one_by_one.expect(&[], 1);
            assert_eq!(decode(&mut one_by_one, &sampling, 1), [*token]);
        }
    }
}

#[test]
fn tokens_that_nobody_wanted_are_undone() {
    let mut session = gpu_session("tiny-leaky");
    prefill(&mut session, &[1, 2, 3]);
    // Bursts of 1, 2, 4: two of the last one's tokens stay unasked for.
    let mut said = decode(&mut session, &greedy(), 5);
    let mut ledger = session.ledger();
    let bytes = block_on(session.save()).expect("bytes");
    let tokens = session.tokens().to_vec();
    assert_eq!(tokens.len(), 8);
    said.extend(decode(&mut session, &greedy(), 9));
    let mut other = gpu_session("tiny-leaky");
    other.load(&bytes, &tokens).expect("its own state");
    let next = [&tokens[..], &said[5..6]].concat();
    block_on(other.prefill(&next, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
    assert_eq!(ledger.tokens, 1);
    assert_eq!(decode(&mut other, &greedy(), 8), said[6..]);
    // Other settings in the middle of a burst count from the next token on.
    let mut fresh = gpu_session("tiny-leaky");
    prefill(&mut fresh, &tokens);
    let warm = Sampling { temperature: 2.0, seed: 5, ..greedy() };
    prefill(&mut session, &tokens);
    assert_eq!(decode(&mut session, &warm, 6), decode(&mut fresh, &warm, 6));
    decode(&mut session, &greedy(), 2);
}

#[test]
fn controls_count_from_the_next_token_on() {
    let talk = |mut session: Session| {
        prefill(&mut session, &[5, 6, 7]);
        let mut said = decode(&mut session, &greedy(), 5);
        session.engine().controls().max_steps = 1;
        said.extend(decode(&mut session, &greedy(), 4));
        session.engine().controls().threshold_scale = 1.5;
        said.extend(decode(&mut session, &greedy(), 9));
        said
    };
    for name in ["tiny-leaky", "tiny-window", "mar-smalltalk"] {
        assert_eq!(talk(gpu_session(name)), talk(cpu_session(name)), "{name}");
    }
}

#[test]
fn the_ledger_counts_what_the_cpu_counts() {
    let prompt = golden("mar-smalltalk")[0].tokens.clone();
    let count = |mut session: Session| {
        let mut ledger = session.ledger();
        block_on(session.prefill(&prompt, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("a good prompt");
        for _ in 0..11 {
            block_on(session.decode(&greedy(), &mut ledger)).expect("a token");
        }
        ledger
    };
    let (cpu, gpu) = (count(cpu_session("mar-smalltalk")), count(gpu_session("mar-smalltalk")));
    assert_eq!(cpu.tokens, gpu.tokens);
    for layer in 0..cpu.layers() {
        for site in Site::ALL {
            let (cpu, gpu) = (cpu.activity(layer, site), gpu.activity(layer, site));
            assert!(cpu.spikes().abs_diff(gpu.spikes()) <= 1, "layer {layer}, {site}: {cpu:?}, {gpu:?}");
        }
    }
}

#[test]
fn states_change_backends() {
    for name in ["tiny-window", "mar-smalltalk"] {
        let mut right = cpu_session(name);
        prefill(&mut right, &[5, 6, 7]);
        let right = decode(&mut right, &greedy(), 30);
        let mut session = gpu_session(name);
        prefill(&mut session, &[5, 6, 7]);
        let mut said = decode(&mut session, &greedy(), 10);
        block_on(session.move_to(Cpu::new(model(name), Kernels::best()))).expect("the same model");
        said.extend(decode(&mut session, &greedy(), 10));
        let gpu = block_on(Gpu::new(gpu_model(name))).expect("room for a conversation");
        block_on(session.move_to(gpu)).expect("the same model");
        said.extend(decode(&mut session, &greedy(), 10));
        assert_eq!(said, right, "{name}");
    }
    let other = Cpu::new(model("tiny-odd"), Kernels::best());
    assert!(matches!(block_on(gpu_session("tiny-leaky").move_to(other)), Err(SessionError::State(_))));
}

#[test]
fn a_lost_gpu_costs_no_conversation() {
    let model = model("tiny-window");
    let mut right = cpu_session("tiny-window");
    prefill(&mut right, &[5, 6, 7]);
    let right = decode(&mut right, &greedy(), 12);
    // A device of its own: the others' stays.
    let device = block_on(Device::open(&model.config)).expect("a GPU");
    let gpu = block_on(async { Gpu::new(GpuModel::upload(&device, &model).await?).await }).expect("a model");
    let mut session = Session::new(gpu);
    prefill(&mut session, &[5, 6, 7]);
    let mut ledger = session.ledger();
    let said = decode(&mut session, &greedy(), 5);
    device.destroy();
    let error = block_on(session.decode(&greedy(), &mut ledger)).expect_err("the device is gone");
    assert!(matches!(error, SessionError::Gpu(GpuError::Lost(_))), "{error}");
    assert!(error.to_string().starts_with("the GPU was lost"), "{error}");
    // Nothing works on it any more, and nothing panics.
    assert!(block_on(session.prefill(&[1, 2], &mut ledger, |_, _| ControlFlow::Continue(()))).is_err());
    assert!(block_on(session.save()).is_err() && block_on(session.checkpoint()).is_err());
    assert!(block_on(GpuModel::upload(&device, &model)).is_err());

    let whole = [&[5, 6, 7], &said[..]].concat();
    block_on(session.move_to(Cpu::new(model.clone(), Kernels::best()))).expect("the same model");
    let rest =
        block_on(session.prefill(&whole, &mut ledger, |_, _| ControlFlow::Continue(()))).expect("the conversation");
    assert_eq!((rest.reused, rest.computed), (3, 5), "the prompt's end was kept");
    assert_eq!(decode(&mut session, &greedy(), 7), right[5..]);
}

#[test]
fn two_conversations_share_a_gpu() {
    let (mut one, mut two) = (gpu_session("tiny-window"), gpu_session("tiny-window"));
    prefill(&mut one, &[1, 2, 3]);
    prefill(&mut two, &[4, 5]);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        first.extend(decode(&mut one, &greedy(), 1));
        second.extend(decode(&mut two, &greedy(), 1));
    }
    for (prompt, said) in [(&[1, 2, 3][..], first), (&[4, 5], second)] {
        let mut alone = cpu_session("tiny-window");
        prefill(&mut alone, prompt);
        assert_eq!(decode(&mut alone, &greedy(), 10), said);
    }
}

/// What is watched over a prompt and some tokens.
fn watched(mut session: Session, watch: Watch) -> (Vec<Record>, Session) {
    session.watch(watch);
    prefill(&mut session, &[5, 6, 7]);
    decode(&mut session, &greedy(), 6);
    (session.take_records(), session)
}

#[test]
fn watchers_see_the_same_on_both() {
    for name in ["tiny-leaky", "mar-smalltalk"] {
        let watch = Watch::sites([(0, Site::InProj), (1, Site::Down)]);
        let (cpu, mut session) = watched(cpu_session(name), watch.clone());
        let (gpu, _) = watched(gpu_session(name), watch);
        assert_eq!(cpu.len(), gpu.len());
        assert_eq!(cpu.iter().map(Record::tokens).sum::<usize>(), 2 * 9);
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            assert_eq!((cpu.position, cpu.layer, cpu.site), (gpu.position, gpu.layer, gpu.site));
            assert_eq!(cpu.counts, gpu.counts);
            let neuron = session.engine().controls().clone().neuron(&model(name).config, cpu.site);
            let inv_threshold = session.engine().inv_threshold(cpu.layer, cpu.site).expect("a layer").to_vec();
            for token in 0..cpu.tokens() {
                let trains = cpu.trains(token, neuron, &inv_threshold).expect("its own thresholds");
                assert_eq!(Ok(&trains), gpu.trains(token, neuron, &inv_threshold).as_ref());
                for j in 0..inv_threshold.len() {
                    let sum: i32 = (0..trains.steps).filter_map(|t| trains.spike(j, t)).sum();
                    assert_eq!(sum, i32::from(cpu.counts[token * inv_threshold.len() + j]));
                    let trace: Vec<(f32, i32)> = gpu.trace(token, j, neuron, &inv_threshold).expect("there").collect();
                    assert_eq!(trace.len(), trains.steps);
                    for (t, (h, spike)) in trace.into_iter().enumerate() {
                        assert_eq!(Some(spike), trains.spike(j, t));
                        assert_eq!(spike != 0, h.abs() >= 1.0);
                    }
                }
            }
        }
    }
    let (nothing, _) = watched(gpu_session("tiny-odd"), Watch::default());
    assert!(nothing.is_empty());
}

/// Tensor by tensor, as a download brings them: the model is never in main memory.
#[test]
fn a_stream_of_tensors_becomes_a_model() {
    let (name, config) = ("tiny-window", model("tiny-window").config.clone());
    let bytes = std::fs::read(directory(name).join("model.safetensors")).expect("weights");
    let mut reader = WeightsReader::new(&config, bytes.len() as u64);
    let mut builder = GpuModelBuilder::new(&gpu_device(&config), config);
    for chunk in bytes.chunks(1000) {
        reader.push(chunk, |spec, tensor| builder.insert(spec, &tensor)).expect("good weights");
    }
    reader.finish().expect("all of it");
    let streamed = block_on(builder.build(format::identity(&bytes))).expect("a model on the GPU");
    let mut session = Session::new(block_on(Gpu::new(streamed)).expect("room for a conversation"));
    prefill(&mut session, &[5, 6, 7]);
    let mut right = cpu_session(name);
    prefill(&mut right, &[5, 6, 7]);
    assert_eq!(decode(&mut session, &greedy(), 20), decode(&mut right, &greedy(), 20));
    // A tensor that never came is said so.
    let empty = GpuModelBuilder::new(&gpu_device(&model(name).config), model(name).config.clone());
    assert!(matches!(block_on(empty.build([0; 32])), Err(GpuError::Fault(text)) if text.contains("was not given")));
}
