//! What somebody watches, copied from the very buffers that the projections read, and brought back with the tokens.

use super::GpuError;
use super::device::Device;
use super::scratch::{Scratch, activity_words, spike_words};
use crate::config::{Config, Site};
use crate::cpu::{Observer, SpikeBatch};
use crate::probe::Watch;

/// Where in a pass's part of the buffer something goes, in bytes.
#[derive(Debug)]
struct Place {
    layer: usize,
    /// `None`: the residual stream after the layer.
    site: Option<Site>,
    at: u64,
}

/// A buffer for all that is watched, over several passes.
#[derive(Debug)]
pub(super) struct Capture {
    buffer: wgpu::Buffer,
    places: Vec<Place>,
    config: Config,
    tokens: usize,
    pass_bytes: u64,
    passes: usize,
}

impl Capture {
    /// For `passes` passes of `tokens` tokens; `None` where nothing is watched.
    pub async fn new(
        device: &Device,
        config: &Config,
        watch: &Watch,
        tokens: usize,
        passes: usize,
    ) -> Result<Option<Self>, GpuError> {
        let (places, at) = places(config, watch, tokens);
        if places.is_empty() {
            return Ok(None);
        }
        let bytes = at * passes as u64;
        let mut guard = device.guard();
        let buffer = guard.run("what is watched", bytes, |device| device.storage(bytes));
        guard.finish().await?;
        Ok(Some(Self { buffer, places, config: config.clone(), tokens, pass_bytes: at, passes }))
    }

    fn find(&self, layer: usize, site: Option<Site>) -> Option<u64> {
        self.places.iter().find(|place| place.layer == layer && place.site == site).map(|place| place.at)
    }

    pub fn wants_site(&self, layer: usize, site: Site) -> bool {
        self.find(layer, Some(site)).is_some()
    }

    pub fn wants_hidden(&self) -> bool {
        self.places.iter().any(|place| place.site.is_none())
    }

    pub fn copy_site(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        scratch: &Scratch,
        pass: usize,
        layer: usize,
        site: Site,
    ) {
        let Some(at) = self.find(layer, Some(site)) else { return };
        let at = at + pass as u64 * self.pass_bytes;
        let (current, spikes) = site_bytes(&self.config, site, self.tokens);
        encoder.copy_buffer_to_buffer(&scratch.current, 0, &self.buffer, at, current);
        encoder.copy_buffer_to_buffer(&scratch.spikes, 0, &self.buffer, at + current, spikes);
    }

    pub fn copy_hidden(&self, encoder: &mut wgpu::CommandEncoder, scratch: &Scratch, pass: usize, layer: usize) {
        let Some(at) = self.find(layer, None) else { return };
        let at = at + pass as u64 * self.pass_bytes;
        encoder.copy_buffer_to_buffer(&scratch.x, 0, &self.buffer, at, hidden_bytes(&self.config, self.tokens));
    }

    /// What is to be read back.
    pub fn part(&self) -> (&wgpu::Buffer, u64) {
        (&self.buffer, self.pass_bytes * self.passes as u64)
    }

    /// Shows a pass, whose tokens follow `position`, from the bytes read back.
    pub fn show(&self, read: &[u8], pass: usize, position: u64, observer: &mut dyn Observer) {
        let start = pass * self.pass_bytes as usize;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&read[start..start + self.pass_bytes as usize]);
        for place in &self.places {
            let words = &words[place.at as usize / 4..];
            let Some(site) = place.site else {
                let x = &words[..self.tokens * self.config.d_model];
                observer.hidden(position, place.layer, bytemuck::cast_slice(x));
                continue;
            };
            let inputs = self.config.site_shape(site).0;
            let (current, rest) = words.split_at(self.tokens * inputs);
            let mut batch = SpikeBatch::default();
            batch.clear(inputs);
            for row in rest.chunks_exact(spike_words(inputs)).take(self.tokens) {
                // The counts follow the events, four to a word.
                batch.push(&bytemuck::cast_slice(&row[1 + inputs..])[..inputs]);
            }
            observer.spikes(position, place.layer, site, bytemuck::cast_slice(current), &batch);
        }
    }
}

/// How many passes of `tokens` tokens, `wanted` at most, bring what is watched back in one buffer; an error where not even
/// one does.
pub(super) fn passes_that_fit(
    device: &Device,
    config: &Config,
    watch: &Watch,
    tokens: usize,
    wanted: usize,
) -> Result<usize, GpuError> {
    let watched = places(config, watch, tokens).1;
    if watched == 0 {
        return Ok(wanted);
    }
    // Beside it come the cursor, the tokens, and the counters of every site.
    let (most, counters) = (device.buffer_bytes(), 4 * activity_words(config, 1) as u64);
    let bytes = watched + counters + 16 + 4;
    match most.saturating_sub(16) / (bytes - 16) {
        0 => Err(GpuError::Watch { bytes, most }),
        fit => Ok(wanted.min(fit as usize)),
    }
}

/// Where what is watched goes within a pass's part, and the bytes of that part.
fn places(config: &Config, watch: &Watch, tokens: usize) -> (Vec<Place>, u64) {
    let (mut places, mut at) = (Vec::new(), 0);
    for layer in 0..config.n_layers {
        for site in Site::ALL.into_iter().filter(|&site| watch.has(layer, site)) {
            places.push(Place { layer, site: Some(site), at });
            let (current, spikes) = site_bytes(config, site, tokens);
            at += current + spikes;
        }
        if watch.hidden {
            places.push(Place { layer, site: None, at });
            at += hidden_bytes(config, tokens);
        }
    }
    (places, at)
}

/// Bytes of a site's currents, and of its spikes.
fn site_bytes(config: &Config, site: Site, tokens: usize) -> (u64, u64) {
    let inputs = config.site_shape(site).0;
    (4 * (tokens * inputs) as u64, 4 * (tokens * spike_words(inputs)) as u64)
}

fn hidden_bytes(config: &Config, tokens: usize) -> u64 {
    4 * (tokens * config.d_model) as u64
}
