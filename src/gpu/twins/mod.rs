//! Each kernel against its CPU file on random shapes, one element among them. They run on whatever GPU there is; a software one will do.

mod attention;
mod fire;
mod head;
mod mix;
mod project;
mod sampler;

use std::cell::Cell;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::TestRunner;

use super::device::Device;
use super::kernels::{Dispatch, Grid, Kernels};
use crate::config::WeightKind;
use crate::model::Matrix;

const KINDS: [WeightKind; 3] = [WeightKind::Int8, WeightKind::Int4, WeightKind::Ternary];

/// Shapes of which every fourth case, the first included, is the smallest that `shapes` can be shrunk to: one element.
#[derive(Debug)]
struct Shapes<S> {
    shapes: S,
    case: Cell<u32>,
}

fn shapes<S: Strategy>(shapes: S) -> Shapes<S> {
    Shapes { shapes, case: Cell::new(0) }
}

impl<S: Strategy> Strategy for Shapes<S> {
    type Tree = S::Tree;
    type Value = S::Value;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut tree = self.shapes.new_tree(runner)?;
        let case = self.case.replace(self.case.get() + 1);
        while case.is_multiple_of(4) && tree.simplify() {}
        Ok(tree)
    }
}

/// The same case with weights of each kind.
fn each(kinds: &[WeightKind], twins: impl Fn(WeightKind) -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
    let named = |kind, error| TestCaseError::fail(format!("{kind:?}: {error}"));
    kinds.iter().try_for_each(|&kind| twins(kind).map_err(|error| named(kind, error)))
}

/// One device and its kernels for all tests.
struct Bench {
    device: Device,
    kernels: Kernels,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let config = crate::synth::preset("tiny").expect("a preset").expect("a config");
        let device = match pollster::block_on(Device::open(&config)) {
            Ok(device) => device,
            Err(error) => panic!("these tests need a GPU or a software one: {error}"),
        };
        let kernels = Kernels::new(&device, &KINDS);
        Bench { device, kernels }
    })
}

/// What a kernel is bound to.
enum Binding<'a> {
    Uniform(Vec<u32>),
    Floats(&'a [f32]),
    Words(&'a [u32]),
    Bytes(&'a [u8]),
}

impl Bench {
    fn buffers(&self, bindings: &[(u32, Binding)]) -> Vec<(u32, wgpu::Buffer)> {
        let upload = |bytes: &[u8]| {
            let buffer = self.device.storage(bytes.len() as u64);
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0);
            self.device.queue.write_buffer(&buffer, 0, &padded);
            buffer
        };
        let make = |binding: &Binding| match binding {
            Binding::Uniform(words) => {
                use wgpu::BufferUsages as U;
                let usage = U::UNIFORM | U::STORAGE | U::COPY_DST | U::COPY_SRC;
                let buffer = self.device.buffer(4 * words.len().next_multiple_of(4) as u64, usage);
                self.device.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
                buffer
            }
            Binding::Floats(values) => upload(bytemuck::cast_slice(values)),
            Binding::Words(values) => upload(bytemuck::cast_slice(values)),
            Binding::Bytes(bytes) => upload(bytes),
        };
        bindings.iter().map(|(number, binding)| (*number, make(binding))).collect()
    }

    fn bind(
        &self,
        entry: &'static str,
        kind: Option<WeightKind>,
        buffers: &[(u32, wgpu::Buffer)],
        only: &[u32],
        grid: Grid,
    ) -> Dispatch {
        let used: Vec<_> = buffers.iter().filter(|(number, _)| only.contains(number)).map(|(n, b)| (*n, b)).collect();
        self.kernels.bind(&self.device, entry, kind, &used, grid)
    }

    /// Runs kernels one after the other, then reads the bindings asked for.
    fn run(
        &self,
        dispatches: &[Dispatch],
        tokens: u32,
        buffers: &[(u32, wgpu::Buffer)],
        wanted: &[u32],
    ) -> Vec<Vec<u8>> {
        let mut encoder = self.device.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            dispatches.iter().for_each(|dispatch| dispatch.encode(&mut pass, tokens));
        }
        let parts: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| buffers.iter().find(|(number, _)| number == wanted))
            .map(|(_, buffer)| (buffer, buffer.size()))
            .collect();
        pollster::block_on(self.device.read(encoder, &parts)).expect("the GPU")
    }

    /// Runs one kernel on all of `bindings`.
    fn once(
        &self,
        entry: &'static str,
        kind: Option<WeightKind>,
        bindings: &[(u32, Binding)],
        (grid, tokens): (Grid, u32),
        wanted: &[u32],
    ) -> Vec<Vec<u8>> {
        let buffers = self.buffers(bindings);
        let all: Vec<u32> = buffers.iter().map(|(number, _)| *number).collect();
        let dispatch = self.bind(entry, kind, &buffers, &all, grid);
        self.run(&[dispatch], tokens, &buffers, wanted)
    }
}

/// `Cursor` of `shaders/common.wgsl` in a prefill.
fn cursor(tokens: usize, position: u32) -> Binding<'static> {
    Binding::Uniform(vec![tokens as u32, 0, 0, position])
}

fn floats(bytes: &[u8], count: usize) -> Vec<f32> {
    bytemuck::pod_collect_to_vec::<u8, f32>(bytes)[..count].to_vec()
}

/// Random numbers of a kernel's inputs, from one seed: shrinking keeps the shapes small.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From -1 up to 1.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }

    /// Integers of every value but the lowest.
    fn matrix(&mut self, kind: WeightKind, rows: usize, columns: usize) -> Matrix {
        let (bits, row_bytes, max) = (kind.bits(), kind.row_bytes(columns), kind.max());
        let mut data = vec![0u8; rows * row_bytes];
        for row in data.chunks_exact_mut(row_bytes) {
            for column in 0..columns {
                let value = self.next() as i32 % (2 * max + 1) - max;
                row[column * bits / 8] |= (value as u8 & (0xff >> (8 - bits))) << (column * bits % 8);
            }
        }
        Matrix { kind, columns, data }
    }
}

/// Fails where the two differ by more than `tolerance` of the largest right value, or of 1.
fn near(found: &[f32], right: &[f32], tolerance: f32) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), right.len());
    let largest = right.iter().fold(1f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(right).enumerate() {
        prop_assert!((a - b).abs() <= tolerance * largest, "at {i}: {a}, expected {b}");
    }
    Ok(())
}

#[test]
fn every_fourth_shape_is_the_smallest() {
    let (shapes, mut runner) = (shapes((1usize..1000, prop::sample::select(vec![3, 5, 7]))), TestRunner::default());
    let cases: Vec<_> = (0..5).map(|_| shapes.new_tree(&mut runner).expect("a shape").current()).collect();
    assert_eq!((cases[0], cases[4]), ((1, 3), (1, 3)));
    assert_ne!(cases[1..4], [(1, 3); 3]);
}
