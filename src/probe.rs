//! What a watcher may see of the spikes: which layers and sites, their spike trains, and a neuron's membrane.

use crate::config::Site;

/// What is watched. The default is nothing, and costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    sites: Vec<(usize, Site)>,
    /// The residual stream after every layer.
    pub hidden: bool,
}

impl Watch {
    /// Watches these sites.
    pub fn sites(sites: impl IntoIterator<Item = (usize, Site)>) -> Self {
        Self { sites: sites.into_iter().collect(), hidden: false }
    }

    /// Watches everything of `layers` layers.
    pub fn all(layers: usize) -> Self {
        let sites = (0..layers).flat_map(|layer| Site::ALL.map(|site| (layer, site))).collect();
        Self { sites, hidden: true }
    }

    /// Whether a layer's site is watched.
    pub fn has(&self, layer: usize, site: Site) -> bool {
        self.sites.contains(&(layer, site))
    }
}
