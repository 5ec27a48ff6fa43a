//! Going on when the GPU is lost, in the middle of a reply too: the model is fetched once more, and another engine takes over.

use js_sys::{Function, Promise};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::backend::{BackendChoice, choose};
use super::engine::ModelLoader;
use super::listener::{Event, Listener};
use crate::gpu::GpuError;
use crate::session::{Session, SessionError};

/// What takes over from an engine.
pub(super) struct Rescue<'a> {
    /// JavaScript's function that fetches the model once more: a promise of a `ModelLoader`.
    spare: &'a Function,
    /// What runs the model; changed with the engine.
    choice: &'a mut BackendChoice,
    /// Engines that have taken over.
    times: u32,
}

impl<'a> Rescue<'a> {
    pub fn new(spare: &'a Function, choice: &'a mut BackendChoice) -> Self {
        Self { spare, choice, times: 0 }
    }

    /// What runs the model now.
    pub fn choice(&self) -> &BackendChoice {
        self.choice
    }

    /// Goes on after `error` if that ended a GPU: on another one, and if that is lost too, on the CPU. Other errors it returns.
    pub async fn after(
        &mut self,
        error: SessionError,
        session: &mut Session,
        listener: &Listener,
    ) -> Result<(), JsError> {
        let why = match &error {
            SessionError::Gpu(GpuError::Lost(words)) => format!("the GPU was lost ({words})"),
            SessionError::Gpu(GpuError::Fault(words)) => format!("the GPU failed ({words})"),
            _ => return Err(error.into()),
        };
        let failed = |_| JsError::new(&format!("{why}, and the model could not be fetched again; load it once more"));
        let spare = self.spare.call0(&JsValue::UNDEFINED).map_err(failed)?;
        let spare = JsFuture::from(Promise::resolve(&spare)).await.map_err(failed)?;
        let model = ModelLoader::try_from_js_value(spare).map_err(failed)?.model()?;
        let backend = if self.times == 0 { "auto" } else { "cpu" };
        self.times += 1;
        let (engine, mut choice) = choose(backend, model).await?;
        session.recover(engine, &mut session.ledger()).await?;
        choice.why = format!("{why}; {}", choice.why);
        *self.choice = choice;
        listener.tell(&Event::Moved { backend: self.choice, why: &why }).await?;
        Ok(())
    }
}
