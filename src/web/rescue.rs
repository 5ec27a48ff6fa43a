//! Going on when the GPU is lost, as often as it happens and whatever is being done: the model is fetched once more, and another
//! engine takes over.

use std::pin::Pin;

use js_sys::{Function, Promise};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::backend::{Backend, BackendChoice, Chosen};
use super::engine::{EngineError, ModelLoader};
use super::listener::{Event, Listener};
use crate::gpu::GpuError;
use crate::session::{Session, SessionError};

/// JavaScript's function that fetches the model once more, for a backend: a promise of a `ModelLoader`.
#[derive(Debug)]
pub(super) struct Spare(pub Function);

impl Spare {
    /// An engine on `backend`, or the error of its GPU, or else why not.
    async fn engine(&self, backend: Backend) -> Result<Chosen, Failure> {
        let words = |error: JsValue| {
            let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
            Failure(None, message.unwrap_or_else(|| format!("{error:?}")))
        };
        let promise = self.0.call1(&JsValue::UNDEFINED, &backend.as_str().into()).map_err(words)?;
        let loader = JsFuture::from(Promise::resolve(&promise)).await.map_err(words)?;
        let loader = ModelLoader::try_from_js_value(loader).map_err(words)?;
        loader.engine().await.map_err(|error| match error {
            EngineError::Gpu(gpu) => Failure(gpu.trouble(), gpu.to_string()),
            EngineError::Load(error) => Failure(None, error.to_string()),
        })
    }

    /// An engine when the first one came to nothing while it was loaded: where its GPU was lost once more what was `asked` for,
    /// else, or where that comes to nothing too, the CPU. Who asks for a GPU that the model cannot run on is told.
    pub async fn instead(&self, error: GpuError, asked: Backend) -> Result<Chosen, JsError> {
        let mut why = match (error.trouble(), asked) {
            (Some(why), _) => why,
            (None, Backend::Auto) => error.to_string(),
            (None, _) => return Err(error.into()),
        };
        if error.ends_device() {
            match self.engine(asked).await {
                Ok((engine, mut choice)) => {
                    if engine.gpu().is_none() {
                        choice.why = format!("{why} while the model was loaded; {}", choice.why);
                    }
                    return Ok((engine, choice));
                }
                Err(failure) => why = failure.after(&why),
            }
        }
        let (engine, mut choice) = self.engine(Backend::Cpu).await.map_err(|Failure(_, words)| {
            JsError::new(&format!("{why}, and the model could not be fetched again ({words}); load it once more"))
        })?;
        choice.why = format!("{why} while the model was loaded");
        Ok((engine, choice))
    }
}

/// Why there is no engine: what its GPU did, in a few words, if that is it; and in full.
struct Failure(Option<String>, String);

impl Failure {
    /// In a sentence on why another one was needed.
    fn after(self, why: &str) -> String {
        format!("{why}, and no other could take over ({})", self.0.unwrap_or(self.1))
    }
}

/// What takes over from an engine, and who is told.
#[derive(Debug)]
pub(super) struct Rescue {
    spare: Spare,
    listener: Listener,
    /// What the person wants.
    asked: Backend,
    /// What runs the model; changed with the engine.
    choice: BackendChoice,
    /// Whether nothing has been done since an engine took over.
    stuck: bool,
}

impl Rescue {
    pub fn new(spare: Spare, listener: Listener, asked: Backend, choice: BackendChoice) -> Self {
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
            let failure = match self.take_over(backend, session).await {
                Ok(choice) => {
                    self.choice = choice;
                    break;
                }
                Err(failure) => failure,
            };
            if backend == Backend::Cpu {
                let words = failure.1;
                return Err(JsError::new(&format!(
                    "{why}, and the CPU could not take over ({words}); load the model once more"
                )));
            }
            why = failure.after(&why);
            backend = Backend::Cpu;
        }
        // Nobody has asked for the CPU.
        let more = if backend == Backend::Cpu { String::new() } else { format!("; {}", self.choice.why) };
        self.choice.why = format!("{why}{more}");
        Ok(why)
    }

    /// Goes on with another engine in the place of the session's.
    async fn take_over(&self, backend: Backend, session: &mut Session) -> Result<BackendChoice, Failure> {
        let (engine, choice) = self.spare.engine(backend).await?;
        // What is computed again was booked when it was computed first.
        let mut again = session.ledger();
        session.recover(engine, &mut again).await.map_err(|error| {
            let trouble = if let SessionError::Gpu(gpu) = &error { gpu.trouble() } else { None };
            Failure(trouble, error.to_string())
        })?;
        Ok(choice)
    }
}

/// Goes on on the same GPU with less of its memory: how many tokens it takes at a time then. `None` where that does not help.
async fn make_do(session: &mut Session) -> Option<usize> {
    let mut again = session.ledger();
    session.make_do(&mut again).await
}
