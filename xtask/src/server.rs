//! A small web server for dist/: right types, byte ranges, and the headers that give a page exact clocks and threads.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// Sent with every file. A rebuilt file is noticed at the next load; the page is isolated from other origins, as browsers
/// ask for before they give exact clocks and shared memory.
const HEADERS: [(&str, &str); 4] = [
    ("cache-control", "no-cache"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A running server. It stops when dropped.
pub struct Server {
    runtime: Runtime,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Serves `folder`, and each of `more` (path, folder) below its path, on 127.0.0.1; port 0 takes any free one.
    pub fn start(folder: &Path, more: &[(&str, &Path)], port: u16) -> Result<Self> {
        let runtime = Runtime::new()?;
        let mut router = Router::new().fallback_service(ServeDir::new(folder));
        for (path, folder) in more {
            router = router.nest_service(path, ServeDir::new(folder));
        }
        for (name, value) in HEADERS {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            router = router.layer(SetResponseHeaderLayer::overriding(name, value));
        }
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).with_context(|| {
            format!("cannot listen on 127.0.0.1:{port}; another program may do so: choose another with --port")
        })?;
        let address = listener.local_addr()?;
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { runtime, address })
    }

    /// Waits for Ctrl-C.
    pub fn wait(&self) -> Result<()> {
        Ok(self.runtime.block_on(tokio::signal::ctrl_c())?)
    }
}
