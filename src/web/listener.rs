//! Someone in JavaScript who is told what happens, and may take its time: to draw, or to hear that the person wants to stop.

use js_sys::{Function, Promise};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::backend::BackendChoice;
use super::spikes::{Membrane, Spikes};
use super::to_js;
use super::token::TokenEvent;

/// `EngineEvent` of `web.d.ts`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// Tokens of a prompt have been read.
    Prefill { done: usize, total: usize },
    /// A token of a reply, and what was watched of it.
    Token {
        token: TokenEvent<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        spikes: Option<Spikes>,
        #[serde(skip_serializing_if = "Option::is_none")]
        membrane: Option<Membrane>,
    },
    /// Text that was held back, after the last token.
    Text { text: &'a str },
    /// Another engine has taken over, because `why`.
    Moved { backend: &'a BackendChoice, why: &'a str },
    /// Tokens of other work are done.
    Work { done: usize, total: usize },
}

/// Told of every event.
#[derive(Debug)]
pub(super) struct Listener(pub(super) Function);

impl Listener {
    /// Whether to go on.
    pub async fn tell(&self, event: &Event<'_>) -> Result<bool, JsError> {
        let failed = |error: JsValue| JsError::new(&format!("the listener of the engine failed: {error:?}"));
        let answer = self.0.call1(&JsValue::UNDEFINED, &to_js(event)?).map_err(failed)?;
        let answer = JsFuture::from(Promise::resolve(&answer)).await.map_err(failed)?;
        Ok(answer != JsValue::FALSE)
    }
}
