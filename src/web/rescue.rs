//! Going on when the GPU is lost, as often as it happens and whatever is being done: the model is fetched once more, and another
//! engine takes over.

use std::pin::Pin;

use js_sys::{Function, Promise};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::backend::{Backend, BackendChoice, choose};
use super::engine::ModelLoader;
use super::listener::{Event, Listener};
use crate::gpu::GpuError;
use crate::model::Model;
use crate::session::{Session, SessionError};

/// What takes over from an engine, and who is told.
#[derive(Debug)]
pub(super) struct Rescue {
    /// JavaScript's function that fetches the model once more: a promise of a `ModelLoader`.
    spare: Function,
    listener: Listener,
    /// What the person wants.
    asked: Backend,
    /// What runs the model; changed with the engine.
    choice: BackendChoice,
    /// Whether nothing has been done since an engine took over.
    stuck: bool,
}

impl Rescue {
    pub fn new(spare: Function, listener: Listener, asked: Backend, choice: BackendChoice) -> Self {
        Self { spare, listener, asked, choice, stuck: false }
    }

    /// What runs the model now.
    pub fn choice(&self) -> &BackendChoice {
        &self.choice
    }

    /// Tells of something that has been done; whether to go on.
    pub async fn tell(&mut self, event: &Event<'_>) -> Result<bool, JsError> {
        self.stuck = false;
        self.listener.tell(event).await
    }

    /// Goes on after `error` if a GPU is the cause: with less of its memory, on another one, or where that does not help, on the
    /// CPU. Other errors it returns. In a box, so that its code is there once for all work.
    pub fn after<'a>(
        &'a mut self,
        error: SessionError,
        session: &'a mut Session,
    ) -> Pin<Box<dyn Future<Output = Result<(), JsError>> + 'a>> {
        Box::pin(self.go_on(error, session))
    }

    async fn go_on(&mut self, error: SessionError, session: &mut Session) -> Result<(), JsError> {
        let SessionError::Gpu(gpu) = &error else { return Err(error.into()) };
        let Some(why) = gpu.trouble() else { return Err(error.into()) };
        let why = if matches!(gpu, GpuError::OutOfMemory { .. })
            && let Some(tokens) = make_do(session).await
        {
            let why = format!("{why}, so it takes {tokens} tokens at a time");
            self.choice.why.clone_from(&why);
            why
        } else {
            // A GPU that has done nothing since it took over would fail again, and another has no more memory.
            let no_more = self.stuck || matches!(gpu, GpuError::OutOfMemory { .. });
            self.stuck = true;
            self.replace(if no_more { Backend::Cpu } else { self.asked }, why, session).await?
        };
        self.listener.tell(&Event::Moved { backend: &self.choice, why: &why }).await?;
        Ok(())
    }

    /// Puts another engine in the place of the session's; returns why, in full.
    async fn replace(
        &mut self,
        mut backend: Backend,
        mut why: String,
        session: &mut Session,
    ) -> Result<String, JsError> {
        if let Some(gpu) = session.engine().gpu() {
            // What it holds is given back now, not when the garbage is collected.
            gpu.model().device().destroy();
        }
        loop {
            let model = self.model().await.map_err(|words| {
                JsError::new(&format!("{why}, and the model could not be fetched again ({words}); load it once more"))
            })?;
            match take_over(backend, model, session).await {
                Ok(choice) => {
                    self.choice = choice;
                    break;
                }
                Err(error) if backend == Backend::Cpu => return Err(error.into()),
                Err(error) => {
                    let words = match &error {
                        SessionError::Gpu(gpu) => gpu.trouble(),
                        _ => None,
                    };
                    why = format!("{why}, and no other could take over ({})", words.unwrap_or(error.to_string()));
                    backend = Backend::Cpu;
                }
            }
        }
        // Nobody has asked for the CPU.
        let more = if backend == Backend::Cpu { String::new() } else { format!("; {}", self.choice.why) };
        self.choice.why = format!("{why}{more}");
        Ok(why)
    }

    /// The model once more, or why not.
    async fn model(&self) -> Result<Model, String> {
        let words = |error: JsValue| {
            let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
            message.unwrap_or_else(|| format!("{error:?}"))
        };
        let spare = self.spare.call0(&JsValue::UNDEFINED).map_err(words)?;
        let spare = JsFuture::from(Promise::resolve(&spare)).await.map_err(words)?;
        let spare = ModelLoader::try_from_js_value(spare).map_err(words)?;
        spare.model().map_err(|error| error.to_string())
    }
}

/// Goes on on the same GPU with less of its memory: how many tokens it takes at a time then. `None` where that does not help.
async fn make_do(session: &mut Session) -> Option<usize> {
    let mut again = session.ledger();
    session.make_do(&mut again).await
}

/// Goes on with another engine in the place of the session's.
async fn take_over(backend: Backend, model: Model, session: &mut Session) -> Result<BackendChoice, SessionError> {
    let (engine, choice) = choose(backend, model).await?;
    // What is computed again was booked when it was computed first.
    let mut again = session.ledger();
    session.recover(engine, &mut again).await?;
    Ok(choice)
}
