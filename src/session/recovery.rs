//! Going on with another engine, or after work that was broken off.

use super::{Prefilled, Session, SessionError};
use crate::energy::Ledger;
use crate::engine::Engine;
use crate::model::StateError;

impl Session {
    /// Goes on with another engine of the same model: from here, or where this one is lost, from the last checkpoint.
    /// [`Session::tokens`] says how far that is; a prefill of the whole conversation computes the rest.
    pub async fn move_to(&mut self, engine: impl Into<Engine>) -> Result<(), SessionError> {
        let mut engine = engine.into();
        if engine.sha256() != self.engine.sha256() {
            return Err(StateError::OtherModel.into());
        }
        *engine.controls() = self.engine.controls().clone();
        let here = self.engine.state().await;
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
    /// checkpoint, with the tokens since then computed again. The next [`Session::decode`] gives the token that would have
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
        self.catch_up(said, ledger).await
    }

    /// Goes to where `said` ends.
    async fn catch_up(&mut self, said: Vec<u32>, ledger: &mut Ledger) -> Result<Prefilled, SessionError> {
        let reused = self.go_back_to_share(&said);
        let watch = std::mem::take(&mut self.watch);
        let mut done = Ok(());
        for chunk in said[reused..].chunks(self.engine.chunk()) {
            done = self.feed(chunk, ledger).await;
            if done.is_err() {
                break;
            }
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
