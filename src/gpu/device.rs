//! The GPU itself: which adapter, with what limits; memory under error scopes; reading back; noticing that it is gone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;

use super::GpuError;
use super::scratch::Scratch;
use super::state::StateBuffers;
use crate::config::{Config, Site};

/// The largest binding that every WebGPU implementation has to offer. Larger matrices are split.
const BINDING_BYTES: u64 = 128 << 20;

/// Bytes of uploads after which they are sent off, so that staging memory does not pile up.
const UPLOAD_BYTES: u64 = 32 << 20;

/// What an error scope found, to be awaited.
#[cfg(not(target_arch = "wasm32"))]
type Verdict = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
/// What an error scope found, to be awaited.
#[cfg(target_arch = "wasm32")]
type Verdict = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// What may end a device: noticed by callbacks, asked by everyone.
#[derive(Debug, Default)]
struct Fate {
    lost: Mutex<Option<String>>,
    fault: Mutex<Option<String>>,
    /// Read-backs until one fails behind the GPU's work, as tests want it; 0 for none.
    #[cfg(test)]
    reads_to_failure: std::sync::atomic::AtomicUsize,
    /// Bytes that fit, as tests want it; 0 for all.
    #[cfg(test)]
    room: std::sync::atomic::AtomicU64,
}

/// An open GPU.
#[derive(Debug, Clone)]
pub struct Device {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    name: String,
    software: bool,
    binding_bytes: u64,
    buffer_bytes: u64,
    fate: Arc<Fate>,
}

impl Device {
    /// Opens the fastest adapter with what `config` needs of it.
    pub async fn open(config: &Config) -> Result<Self, GpuError> {
        Self::open_with(config, wgpu::Backends::all()).await
    }

    async fn open_with(config: &Config, backends: wgpu::Backends) -> Result<Self, GpuError> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let adapter = instance
            .request_adapter(&wgpu::RequestAdapterOptions {
                power_preference: wgpu::PowerPreference::HighPerformance,
                ..Default::default()
            })
            .await
            .map_err(|e| GpuError::NoAdapter(e.to_string()))?;
        Self::open_adapter(&adapter, largest_buffer(config)).await
    }

    /// Opens `adapter`, with bindings of `binding_bytes` where it has them, and never less than WebGPU's default.
    async fn open_adapter(adapter: &wgpu::Adapter, binding_bytes: u64) -> Result<Self, GpuError> {
        let (info, has) = (adapter.get_info(), adapter.limits());
        let name = if info.name.is_empty() { format!("{:?}", info.backend) } else { info.name.clone() };
        large_enough(&name, &has)?;
        let binding_bytes = binding_bytes.max(BINDING_BYTES).min(has.max_storage_buffer_binding_size);
        let binding_bytes = binding_bytes.min(has.max_buffer_size) & !255;
        let mut limits = wgpu::Limits::default().or_worse_values_from(&has);
        limits.max_storage_buffer_binding_size = binding_bytes;
        limits.max_buffer_size = limits.max_buffer_size.max(binding_bytes);
        let buffer_bytes = limits.max_buffer_size;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("mar"),
                required_limits: limits,
                memory_hints: wgpu::MemoryHints::Performance,
                ..Default::default()
            })
            .await
            .map_err(|e| GpuError::Refused(e.to_string()))?;
        let fate = Arc::new(Fate::default());
        let lost = Arc::clone(&fate);
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            lock(&lost.lost).get_or_insert(text);
        });
        let fault = Arc::clone(&fate);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&fault.fault).get_or_insert(error.to_string());
        }));
        let software = info.device_type == wgpu::DeviceType::Cpu;
        Ok(Self { device, queue, name, software, binding_bytes, buffer_bytes, fate })
    }

    /// The adapter's name, as its driver gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a CPU plays the GPU.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// Bytes of the largest binding; matrices above it lie in several.
    pub fn binding_bytes(&self) -> u64 {
        self.binding_bytes
    }

    /// Whether a buffer of so many bytes, which cannot be split, fits a binding.
    pub(super) fn has_room(&self, needed: u64) -> Result<(), GpuError> {
        let available = self.device.limits().max_storage_buffer_binding_size;
        if needed <= available {
            return Ok(());
        }
        Err(GpuError::TooSmall { adapter: self.name.clone(), limit: "bytes a binding", needed, available })
    }

    /// Whether so many bytes can be read back in one go.
    pub(super) fn can_read(&self, needed: u64) -> Result<(), GpuError> {
        let available = self.buffer_bytes;
        if needed <= available {
            return Ok(());
        }
        Err(GpuError::TooSmall { adapter: self.name.clone(), limit: "bytes a buffer", needed, available })
    }

    /// Bytes of the largest buffer.
    pub(super) fn buffer_bytes(&self) -> u64 {
        self.buffer_bytes
    }

    /// The same device, but with smaller bindings: for tests of what is split.
    #[doc(hidden)]
    pub fn with_binding_bytes(mut self, bytes: u64) -> Self {
        self.binding_bytes = bytes;
        self
    }

    /// The same device, but with smaller buffers to read back: for tests of what does not fit.
    #[doc(hidden)]
    pub fn with_buffer_bytes(mut self, bytes: u64) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Makes a read-back fail after the GPU has done the work: the next one, or with 2 the one after it.
    #[cfg(test)]
    pub(crate) fn fail_read(&self, which: usize) {
        self.fate.reads_to_failure.store(which, std::sync::atomic::Ordering::Relaxed);
    }

    /// Lets no more than `bytes` be had in one go; 0 takes the limit away.
    #[cfg(test)]
    pub(crate) fn limit_room(&self, bytes: u64) {
        self.fate.room.store(bytes, std::sync::atomic::Ordering::Relaxed);
    }

    /// Gives the device up. Whatever uses it fails with [`GpuError::Lost`] from then on.
    pub fn destroy(&self) {
        self.device.destroy();
        lock(&self.fate.lost).get_or_insert_with(|| "destroyed".into());
    }

    /// Whether the device is gone, or has caught a fault.
    pub fn check(&self) -> Result<(), GpuError> {
        if let Some(reason) = &*lock(&self.fate.lost) {
            return Err(GpuError::Lost(reason.clone()));
        }
        match &*lock(&self.fate.fault) {
            Some(fault) => Err(GpuError::Fault(fault.clone())),
            None => Ok(()),
        }
    }

    /// Runs what `encoder` holds and reads the beginnings of some buffers in one go: each of `parts` is (buffer, bytes).
    pub(super) async fn read(
        &self,
        mut encoder: wgpu::CommandEncoder,
        parts: &[(&wgpu::Buffer, u64)],
    ) -> Result<Vec<Vec<u8>>, GpuError> {
        self.check()?;
        let size = parts.iter().map(|(_, bytes)| bytes).sum();
        self.can_read(size)?;
        let (send, receive) = oneshot::channel();
        let mut guard = self.guard();
        let staging = guard.run("what is read back", size, |device| {
            let staging = device.buffer(size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
            let mut at = 0;
            for (buffer, bytes) in parts {
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, at, *bytes);
                at += bytes;
            }
            device.queue.submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., move |result| drop(send.send(result)));
            staging
        });
        self.wait()?;
        guard.finish().await?;
        let mapped = receive.await;
        self.check()?;
        let fault = |e: &dyn std::fmt::Display| GpuError::Fault(e.to_string());
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::Relaxed;
            let count_down = |left: usize| left.checked_sub(1);
            if self.fate.reads_to_failure.fetch_update(Relaxed, Relaxed, count_down) == Ok(1) {
                return Err(fault(&"a test wanted it so"));
            }
        }
        mapped.map_err(|e| fault(&e))?.map_err(|e| fault(&e))?;
        let view = staging.get_mapped_range(..).map_err(|e| fault(&e))?;
        let mut rest = &view[..];
        let copies = parts
            .iter()
            .map(|(_, bytes)| {
                let (part, others) = rest.split_at(*bytes as usize);
                rest = others;
                part.to_vec()
            })
            .collect();
        drop(view);
        // In a browser a buffer that is only dropped waits for the garbage collector, and there is one for every burst.
        staging.destroy();
        Ok(copies)
    }

    /// Natively callbacks run while somebody polls; in a browser they come by themselves.
    fn wait(&self) -> Result<(), GpuError> {
        match self.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(()),
            Err(e) => {
                self.check()?;
                Err(GpuError::Fault(e.to_string()))
            }
        }
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// A buffer of at least one binding's least size. Callers are inside a [`Guard`], or ask for little.
    pub(super) fn buffer(&self, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = bytes.max(16).next_multiple_of(4);
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    /// A storage buffer, zero at first.
    pub(super) fn storage(&self, bytes: u64) -> wgpu::Buffer {
        use wgpu::BufferUsages as U;
        self.buffer(bytes, U::STORAGE | U::COPY_SRC | U::COPY_DST)
    }

    /// A uniform buffer with `contents`.
    pub(super) fn uniform(&self, contents: &[u8]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer((contents.len() as u64).next_multiple_of(16), usage);
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// Begins watching over allocations.
    pub(super) fn guard(&self) -> Guard {
        Guard { device: self.clone(), verdicts: Vec::new(), asked: 0, pending: 0 }
    }
}

/// Allocations and uploads whose success is asked for once, at the end.
pub(super) struct Guard {
    device: Device,
    verdicts: Vec<(String, u64, Verdict)>,
    asked: u64,
    pending: u64,
}

impl Guard {
    /// Runs `allocate`, which asks for `bytes` for `what`, under error scopes.
    pub fn run<T>(&mut self, what: &str, bytes: u64, allocate: impl FnOnce(&Device) -> T) -> T {
        let memory = self.device.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = allocate(&self.device);
        let validation: Verdict = Box::pin(validation.pop());
        let memory: Verdict = Box::pin(memory.pop());
        self.asked += bytes;
        // Memory first: to use a buffer that could not be had is a fault as well, and says less.
        self.verdicts.push((what.into(), self.asked, memory));
        self.verdicts.push((what.into(), bytes, validation));
        result
    }

    /// A storage buffer that holds `contents`.
    pub fn upload(&mut self, what: &str, contents: &[u8]) -> wgpu::Buffer {
        let bytes = contents.len() as u64;
        let buffer = self.run(what, bytes, |device| {
            let buffer = device.storage(bytes);
            device.queue.write_buffer(&buffer, 0, contents);
            buffer
        });
        self.pending += bytes;
        if self.pending > UPLOAD_BYTES {
            self.device.queue.submit([]);
            self.pending = 0;
        }
        buffer
    }

    /// Whether all of it went well.
    pub async fn finish(self) -> Result<(), GpuError> {
        for (what, bytes, verdict) in self.verdicts {
            #[cfg(test)]
            match self.device.fate.room.load(std::sync::atomic::Ordering::Relaxed) {
                room if room > 0 && bytes > room => return Err(GpuError::OutOfMemory { what, bytes }),
                _ => {}
            }
            match verdict.await {
                None => {}
                Some(wgpu::Error::OutOfMemory { .. }) => return Err(GpuError::OutOfMemory { what, bytes }),
                Some(error) => {
                    self.device.check()?;
                    return Err(GpuError::Fault(error.to_string()));
                }
            }
        }
        self.device.check()
    }
}

/// Whether an adapter offers what the kernels need, which is WebGPU's default.
fn large_enough(adapter: &str, has: &wgpu::Limits) -> Result<(), GpuError> {
    for (limit, needed, available) in [
        ("storage buffers a stage", 8, u64::from(has.max_storage_buffers_per_shader_stage)),
        ("invocations a workgroup", 256, u64::from(has.max_compute_invocations_per_workgroup)),
        ("bytes of workgroup memory", 16_384, u64::from(has.max_compute_workgroup_storage_size)),
        ("bytes a binding", BINDING_BYTES, has.max_storage_buffer_binding_size),
    ] {
        if available < needed {
            return Err(GpuError::TooSmall { adapter: adapter.into(), limit, needed, available });
        }
    }
    Ok(())
}

/// Bytes of the largest buffer of a network, be it one that could be split.
fn largest_buffer(config: &Config) -> u64 {
    let embed = config.vocab_size * config.embed_weights.row_bytes(config.d_model);
    let sites = Site::ALL.map(|site| {
        let (inputs, outputs) = config.site_shape(site);
        inputs * config.weights[site.index()].row_bytes(outputs)
    });
    let matrix = sites.into_iter().chain([embed]).max().unwrap_or(0) as u64;
    matrix.max(StateBuffers::largest(config)).max(Scratch::largest(config))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_gpu_is_a_sentence() {
        let config = crate::synth::preset("tiny").expect("a preset").expect("a config");
        let none = pollster::block_on(Device::open_with(&config, wgpu::Backends::empty()));
        let error = none.expect_err("there is nothing to open").to_string();
        assert!(error.starts_with("no GPU was found") && error.contains("mesa-vulkan-drivers"), "{error}");
    }

    #[test]
    fn a_small_gpu_is_a_sentence() {
        assert_eq!(large_enough("a GPU", &wgpu::Limits::default()), Ok(()));
        let small = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
        let error = large_enough("Toy", &small).expect_err("four are too few").to_string();
        assert_eq!(error, "the GPU Toy offers 4 storage buffers a stage, and this needs 8; use the CPU backend");
    }

    /// More than any GPU has: the error scope says so, and the device goes on.
    #[test]
    fn too_much_memory_is_an_error() {
        let config = crate::synth::preset("tiny").expect("a preset").expect("a config");
        let device = pollster::block_on(Device::open(&config)).expect("these tests need a GPU or a software one");
        let mut guard = device.guard();
        guard.run("a giant", 1 << 50, |device| device.storage(1 << 50));
        assert!(pollster::block_on(guard.finish()).is_err());
        assert_eq!(device.check(), Ok(()));
    }
}
