//! Going on with another engine, or after work that was broken off.

use super::{Checkpoint, Prefilled, Session, SessionError};
use crate::energy::Ledger;
use crate::engine::Engine;
use crate::gpu::GpuError;
use crate::model::StateError;

impl Session {
    /// Goes on with another engine of the same model: from here, or where this one is lost, from the last place kept.
    /// [`Session::tokens`] says how far that is; a prefill of the whole conversation computes the rest.
    pub async fn move_to(&mut self, engine: impl Into<Engine>) -> Result<(), SessionError> {
        let mut engine = engine.into();
        if engine.sha256() != self.engine.sha256() {
            return Err(StateError::OtherModel.into());
        }
        *engine.controls() = self.engine.controls().clone();
        let here = self.engine.state().await;
        self.salvage();
        self.engine = engine;
        if let Ok((state, logits)) = here {
            self.engine.restore(state, logits);
            return Ok(());
        }
        let said = std::mem::take(&mut self.tokens);
        self.engine.restart();
        self.go_back_to_share(&said);
        Ok(())
    }

    /// Goes on with another engine of the same model when this one has failed, in the middle of a reply too: from the last
    /// place kept, with the tokens since then computed again: a burst of them at most, behind a prompt's end. The next [`Session::decode`] gives the token that would have
    /// come. What the way back costs is booked in `ledger`; what is watched is not seen twice.
    ///
    /// After an error no token is forgotten, so that it can be tried with one more engine.
    pub async fn recover(&mut self, engine: impl Into<Engine>, ledger: &mut Ledger) -> Result<Prefilled, SessionError> {
        let said = self.tokens.clone();
        self.move_to(engine).await?;
        self.catch_up(said, ledger).await
    }

    /// As [`Session::recover`], with the same engine: after [`crate::gpu::GpuError::Broken`].
    pub async fn resume(&mut self, ledger: &mut Ledger) -> Result<Prefilled, SessionError> {
        let said = self.tokens.clone();
        self.salvage();
        self.catch_up(said, ledger).await
    }

    /// Goes on with the same GPU after [`GpuError::OutOfMemory`], with as much less of its memory as it takes: returns how many
    /// tokens it takes at a time then. `None` where that does not help, and another engine has to.
    pub async fn make_do(&mut self, ledger: &mut Ledger) -> Option<usize> {
        loop {
            let resumed = match self.engine.shrink().await {
                Ok(false) => return None,
                Ok(true) => self.resume(ledger).await.map(|_| ()),
                Err(error) => Err(error.into()),
            };
            match resumed {
                Ok(()) => return Some(self.engine.chunk()),
                Err(SessionError::Gpu(GpuError::OutOfMemory { .. })) => {}
                Err(_) => return None,
            }
        }
    }

    /// Keeps what the engine has copied to main memory by itself.
    fn salvage(&mut self) {
        let Some((state, logits)) = self.engine.kept() else { return };
        if let Some(tokens) = self.tokens.get(..state.position as usize) {
            self.keep(Checkpoint { tokens: tokens.to_vec(), state, logits });
        }
    }

    /// Goes to where `said` ends.
    async fn catch_up(&mut self, said: Vec<u32>, ledger: &mut Ledger) -> Result<Prefilled, SessionError> {
        let reused = self.go_back_to_share(&said);
        let watch = std::mem::take(&mut self.watch);
        let (mut at, mut done) = (reused, Ok(()));
        while at < said.len() && done.is_ok() {
            // One by one behind the prompt, as they were decoded: sums of floats come out alike.
            let end = if at < self.prompt { (at + self.engine.chunk()).min(self.prompt) } else { at + 1 };
            let end = end.min(said.len());
            done = self.feed(&said[at..end], ledger).await;
            at = end;
        }
        self.watch = watch;
        if let Err(error) = done {
            self.tokens = said;
            self.engine.distrust();
            return Err(error);
        }
        Ok(Prefilled { reused, computed: said.len() - reused })
    }
}
