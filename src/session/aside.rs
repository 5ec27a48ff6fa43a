//! What a session does aside from its conversation, and comes back from: the loss of a text, and tokens once more.

use std::ops::{ControlFlow, Range};

use super::{Checkpoint, Session, SessionError};
use crate::cpu::{Sampling, sample};
use crate::energy::Ledger;
use crate::engine::Books;
use crate::math::nats;
use crate::probe::{Record, Watch};

impl Session {
    /// -ln of the probability that the network gives to each of `tokens` after the first, from an empty state, averaged. What
    /// that costs is booked in `ledger`. `go_on` gets (tokens done, tokens in all), and may break it off.
    pub async fn loss(
        &mut self,
        tokens: &[u32],
        ledger: &mut Ledger,
        go_on: impl AsyncFnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<f64, SessionError> {
        if tokens.len() < 2 {
            return Err(SessionError::Short);
        }
        self.check_tokens(tokens)?;
        let here = self.leave().await?;
        let loss = self.mean_loss(tokens, ledger, go_on).await;
        self.come_back(here);
        loss
    }

    /// The likeliest token after each of `tokens`, from an empty state; the first of equals. What backends must agree on.
    pub async fn choices(&mut self, tokens: &[u32]) -> Result<Vec<u32>, SessionError> {
        self.check_tokens(tokens)?;
        let here = self.leave().await?;
        let choices = self.all_choices(tokens).await;
        self.come_back(here);
        choices
    }

    async fn all_choices(&mut self, tokens: &[u32]) -> Result<Vec<u32>, SessionError> {
        let (vocab_size, position) = (self.engine.config().vocab_size, 0);
        let (mut ledger, mut choices) = (self.ledger(), Vec::with_capacity(tokens.len()));
        for tokens in tokens.chunks(self.engine.chunk()) {
            let mut logits = Box::pin(self.engine.logits(tokens, &mut ledger)).await?;
            let rows = logits.chunks_exact_mut(vocab_size);
            choices.extend(rows.map(|logits| sample(logits, &[], &Sampling::default(), position)));
        }
        Ok(choices)
    }

    async fn mean_loss(
        &mut self,
        tokens: &[u32],
        ledger: &mut Ledger,
        mut go_on: impl AsyncFnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<f64, SessionError> {
        let vocab_size = self.engine.config().vocab_size;
        let (inputs, targets) = (&tokens[..tokens.len() - 1], &tokens[1..]);
        let (chunk, mut done, mut sum) = (self.engine.chunk(), 0, 0.0);
        for (inputs, targets) in inputs.chunks(chunk).zip(targets.chunks(chunk)) {
            if go_on(done, tokens.len() - 1).await.is_break() {
                return Err(SessionError::Cancelled);
            }
            let logits = Box::pin(self.engine.logits(inputs, ledger)).await?;
            let pairs = logits.chunks_exact(vocab_size).zip(targets);
            sum += pairs.map(|(logits, &target)| nats(logits, target as usize)).sum::<f64>();
            done += inputs.len();
        }
        Ok(sum / (tokens.len() - 1) as f64)
    }

    /// Takes the tokens at `positions` through the network once more, under the controls of now, and returns what `watch` names
    /// of them, one record for each token, layer and site. It begins at the nearest kept place; `go_on` gets (tokens done, tokens
    /// in all), and may break it off.
    pub async fn replay(
        &mut self,
        positions: Range<usize>,
        watch: &Watch,
        go_on: impl AsyncFnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Vec<Record>, SessionError> {
        if positions.end > self.tokens.len() {
            return Err(SessionError::NoToken { position: positions.end - 1, tokens: self.tokens.len() });
        }
        let here = self.leave().await?;
        let records = self.once_more(&here.tokens[..positions.end], positions.start, watch, go_on).await;
        self.come_back(here);
        records
    }

    async fn once_more(
        &mut self,
        tokens: &[u32],
        first: usize,
        watch: &Watch,
        mut go_on: impl AsyncFnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Vec<Record>, SessionError> {
        let kept =
            self.checkpoints.iter().filter(|kept| kept.tokens.len() <= first && tokens.starts_with(&kept.tokens));
        let mut done = 0;
        if let Some(kept) = kept.max_by_key(|kept| kept.tokens.len()).cloned() {
            self.engine.restore(kept.state, kept.logits);
            done = kept.tokens.len();
        }
        let (start, nothing) = (done, Watch::default());
        let (mut ledger, mut records) = (self.ledger(), Vec::new());
        while done < tokens.len() {
            if go_on(done - start, tokens.len() - start).await.is_break() {
                return Err(SessionError::Cancelled);
            }
            // Chunks up to the last prompt's end, as it was read; one by one behind it, as they were decoded.
            let end = if done < self.prompt { (done + self.engine.chunk()).min(self.prompt) } else { done + 1 };
            let end = if done < first { end.min(first) } else { done + 1 }.min(tokens.len());
            let watch = if done < first { &nothing } else { watch };
            let books = Books { ledger: &mut ledger, watch, records: &mut records };
            self.engine.feed(&tokens[done..end], books).await?;
            done = end;
        }
        Ok(records)
    }

    /// Puts the conversation aside: the engine is before its first token.
    async fn leave(&mut self) -> Result<Checkpoint, SessionError> {
        let (state, logits) = self.engine.state().await?;
        self.engine.restart();
        Ok(Checkpoint { tokens: std::mem::take(&mut self.tokens), state, logits })
    }

    fn come_back(&mut self, here: Checkpoint) {
        // A GPU that was lost meanwhile takes no state; the engine that follows it does.
        if self.engine.check().is_err_and(|error| error.ends_device()) {
            self.keep(here.clone());
        }
        self.tokens = here.tokens;
        self.engine.restore(here.state, here.logits);
    }
}
