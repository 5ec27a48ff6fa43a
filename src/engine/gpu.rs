//! The GPU behind [`super::Engine`]: computes tokens in bursts, and gives them one by one.

use std::collections::VecDeque;

use super::{Books, Choice};
use crate::config::Site;
use crate::cpu::{Logits, Observer, Sampling, SpikeBatch};
use crate::energy::Ledger;
use crate::gpu::{Activities, BURST, Gpu, GpuError};
use crate::model::{Controls, State};
use crate::probe::{Record, Watch};

/// A GPU, and the tokens that it has computed ahead.
#[derive(Debug)]
pub struct GpuEngine {
    pub(super) gpu: Gpu,
    /// Whether the device has logits.
    pub(super) ready: bool,
    ahead: VecDeque<Ahead>,
    /// The last burst's tokens that have been given.
    given: Vec<u32>,
    /// Under what the tokens ahead were computed.
    made_with: (Sampling, Controls, Watch),
    /// Tokens of the next burst: few at first, so that the first comes soon and a stop costs little.
    length: usize,
    /// Tokens of the longest burst.
    most: usize,
    /// The last copy of state and logits in main memory that only this engine has, if it has one.
    kept: Option<(State, Vec<f32>)>,
    /// Tokens that the newest copy in main memory has seen, whoever has it.
    kept_at: u64,
    /// Work was sent off whose end nobody has seen: it failed, or whoever waited for it has gone. The device's state may be
    /// ahead of what is known here, until another takes its place.
    pub(super) broken: bool,
}

/// A token that nobody has asked for yet.
#[derive(Debug)]
struct Ahead {
    token: u32,
    activities: Activities,
    records: Vec<Record>,
}

/// Keeps what is watched until its token is given.
struct Recorder<'a>(&'a mut Vec<Record>);

impl Observer for Recorder<'_> {
    fn spikes(&mut self, position: u64, layer: usize, site: Site, current: &[f32], spikes: &SpikeBatch) {
        self.0.push(Record::new(position, layer, site, current, spikes));
    }
}

impl GpuEngine {
    pub(super) fn new(gpu: Gpu) -> Self {
        let made_with = (Sampling::default(), Controls::default(), Watch::default());
        let (ahead, given) = (VecDeque::new(), Vec::new());
        Self {
            gpu,
            ready: false,
            ahead,
            given,
            made_with,
            length: 1,
            most: BURST,
            kept: None,
            kept_at: 0,
            broken: false,
        }
    }

    /// Whether the state on the device is the conversation's.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        self.gpu.model().device().check()?;
        if self.broken { Err(GpuError::Broken) } else { Ok(()) }
    }

    /// The next token is wanted soon, and the state of now lies in main memory.
    pub(super) fn hurry(&mut self) {
        self.length = 1;
        (self.kept, self.kept_at) = (None, self.gpu.position());
    }

    /// The newest copy in main memory that nobody else has, for who has lost the device. It is given once.
    pub(super) fn kept(&mut self) -> Option<(State, Vec<f32>)> {
        self.kept.take()
    }

    /// Copies the state to main memory where `count` tokens more would make the last copy older than a long burst: a lost GPU
    /// costs no more than that.
    async fn keep(&mut self, count: usize) -> Result<(), GpuError> {
        if self.gpu.position() + count as u64 > self.kept_at + BURST as u64 {
            self.kept = Some(self.gpu.download().await?);
            self.kept_at = self.gpu.position();
        }
        Ok(())
    }

    /// Makes do with less memory, if that is possible. The state is not known then.
    pub(super) async fn shrink(&mut self) -> Result<bool, GpuError> {
        self.ahead.clear();
        self.broken = true;
        let smaller = self.gpu.shrink().await?;
        self.most = self.gpu.chunk().min(BURST);
        self.length = 1;
        Ok(smaller)
    }

    pub(super) async fn feed(&mut self, tokens: &[u32], books: Books<'_>) -> Result<(), GpuError> {
        self.check()?;
        self.gpu.can_watch(books.watch, tokens.len())?;
        self.settle();
        self.broken = true;
        let mut records = Vec::new();
        let activities = self.gpu.feed(tokens, books.watch, &mut Recorder(&mut records)).await?;
        self.broken = false;
        books.records.append(&mut records);
        book(books.ledger, &activities);
        self.ready = true;
        Ok(())
    }

    /// The logits of all `tokens`, which follow the state; it is lost.
    pub(super) async fn evaluate(&mut self, tokens: &[u32], ledger: &mut Ledger) -> Result<Vec<f32>, GpuError> {
        self.check()?;
        self.broken = true;
        let mut logits = Vec::new();
        let activities = self.gpu.forward(tokens, Logits::All, &mut logits, &Watch::default(), &mut ()).await?;
        self.broken = false;
        book(ledger, &activities);
        Ok(logits)
    }

    pub(super) async fn next(&mut self, choice: Choice<'_>, books: Books<'_>) -> Result<u32, GpuError> {
        self.check()?;
        let (sampling, controls, watch) = &self.made_with;
        if choice.sampling != sampling || self.gpu.controls != *controls || books.watch != watch {
            self.settle();
        }
        if self.ahead.is_empty() {
            self.burst(choice, books.watch).await?;
        }
        let Some(Ahead { token, activities, records }) = self.ahead.pop_front() else {
            return Err(GpuError::Fault("a burst brought no token".into()));
        };
        self.given.push(token);
        book(books.ledger, &activities);
        books.records.extend(records);
        Ok(token)
    }

    async fn burst(&mut self, choice: Choice<'_>, watch: &Watch) -> Result<(), GpuError> {
        let count = self.gpu.burst_length(watch, self.length.min(choice.at_most.max(1)))?;
        self.keep(count).await?;
        self.length = (2 * self.length).min(self.most);
        self.made_with = (choice.sampling.clone(), self.gpu.controls.clone(), watch.clone());
        let (first, mut records) = (self.gpu.position(), Vec::new());
        let Choice { sampling, recent, ends, .. } = choice;
        self.broken = true;
        let burst = self.gpu.burst(count, sampling, recent, ends, watch, &mut Recorder(&mut records)).await?;
        self.broken = false;
        self.given.clear();
        let mut records = records.into_iter().peekable();
        for (position, (token, activities)) in (first..).zip(burst.tokens.into_iter().zip(burst.activities)) {
            let mut mine = Vec::new();
            while let Some(record) = records.next_if(|record| record.position == position) {
                mine.push(record);
            }
            self.ahead.push_back(Ahead { token, activities, records: mine });
        }
        Ok(())
    }

    /// Undoes the tokens that nobody has asked for.
    fn settle(&mut self) {
        if self.ahead.is_empty() {
            return;
        }
        // What has been given was computed under these controls, and is again.
        let controls = std::mem::replace(&mut self.gpu.controls, self.made_with.1.clone());
        self.gpu.rewind(self.given.len() + self.ahead.len(), &self.given);
        self.gpu.controls = controls;
        self.ahead.clear();
    }

    pub(super) async fn state(&mut self) -> Result<(State, Vec<f32>), GpuError> {
        self.check()?;
        self.settle();
        let (state, logits) = self.gpu.download().await?;
        Ok((state, if self.ready { logits } else { Vec::new() }))
    }

    pub(super) fn restore(&mut self, state: &State, logits: &[f32]) {
        self.ahead.clear();
        self.ready = !logits.is_empty();
        self.broken = false;
        (self.kept, self.kept_at) = (None, state.position);
        self.gpu.upload(state, logits);
    }
}

#[cfg(test)]
mod tests;

/// Books what every site did.
fn book(ledger: &mut Ledger, activities: &Activities) {
    for (layer, sites) in activities.chunks_exact(4).enumerate() {
        for (site, activity) in Site::ALL.into_iter().zip(sites) {
            ledger.add(layer, site, *activity);
        }
    }
}
