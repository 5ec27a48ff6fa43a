// fire.wgsl - what a site's neurons get, and the spikes they answer with: rmsnorm, gated rmsnorm or SwiGLU, then ATMN.
// Twins: src/cpu/norm.rs and src/cpu/fire.rs. Paper: section 3.2.
//
// One workgroup a token. A site's currents stay in `current`: with inv_threshold they say every micro-step and every
// membrane trace (src/probe.rs rebuilds both), so that no train of up to 127 steps need be written for a projection that
// reads its sum alone.
override WORKGROUP: u32 = 256u;

struct Shape {
    inputs: u32,       // neurons
    groups: u32,       // parts that are normed each by itself
    lanes: u32,        // threads that share a part: a power of two, groups · lanes <= WORKGROUP
    row: u32,          // width of a row of `projected`
    gate: u32,         // where z, or gate | up, begins in that row
    attention: u32,    // where the window branch's answer begins in it; 0: there is none
    site: u32,         // layer · 4 + site
    sites: u32,        // layers · 4
    muted: u32,        // word of `muted` with the site's first neuron
    eps: f32,
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<uniform> neuron: Neuron;
@group(0) @binding(3) var<storage, read> source: array<f32>;                  // [tokens, inputs]  x, or the scan's y
@group(0) @binding(4) var<storage, read> projected: array<f32>;               // [tokens, row]  what a projection said
@group(0) @binding(5) var<storage, read> norm: array<f32>;                    // [inputs]
@group(0) @binding(6) var<storage, read> inv_threshold: array<f32>;           // [inputs]  1 / V
@group(0) @binding(7) var<storage, read> muted: array<u32>;                   // [sites, words]  one bit a neuron
@group(0) @binding(8) var<storage, read_write> current: array<f32>;           // [tokens, inputs]  I
@group(0) @binding(9) var<storage, read_write> spikes: array<u32>;            // [tokens, 1 + inputs + inputs/4]
@group(0) @binding(10) var<storage, read_write> activity: array<atomic<u32>>; // [steps, sites, 4]  fired, +, -, unused

var<workgroup> partial: array<f32, WORKGROUP>;
var<workgroup> fired: atomic<u32>;
var<workgroup> positive: atomic<u32>;
var<workgroup> negative: atomic<u32>;

// rmsnorm of each part of `current`, which the same threads have just written, plus the window branch's answer.
fn normalise(token: u32, local: u32) {
    let width = shape.inputs / shape.groups;
    let group = local / shape.lanes;
    let lane = local % shape.lanes;
    let start = token * shape.inputs + group * width;
    var sum = 0.0;
    if group < shape.groups {
        for (var j = lane; j < width; j += shape.lanes) {
            sum += current[start + j] * current[start + j];
        }
    }
    partial[local] = sum;
    for (var stride = shape.lanes / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if lane < stride { partial[local] += partial[local + stride]; }
    }
    workgroupBarrier();
    if group < shape.groups {
        let inverse = 1.0 / sqrt(partial[group * shape.lanes] / f32(width) + shape.eps);
        for (var j = lane; j < width; j += shape.lanes) {
            current[start + j] = current[start + j] * inverse * norm[group * width + j];
        }
    }
}

// c: how often a neuron fires, with sign, at r = I / V.
fn count_spikes(r: f32) -> i32 {
    let h0 = r + sign(r) * neuron.precharge;
    if neuron.leak == 1.0 {
        // No step can fire that the first does not; this also keeps what is no number silent.
        if !(abs(h0) >= 1.0) { return 0; }
        let t = f32(neuron.steps);
        return i32(clamp(h0, -t, t));
    }
    var h = h0;
    var c = 0;
    for (var t = 0u; t < neuron.steps; t += 1u) {
        let s = select(0, 1, h >= 1.0) - select(0, 1, h <= -1.0);
        h = (h - f32(s)) * neuron.leak;
        c += s;
    }
    return c;
}

// Currents to counts, four to a word, and to the list of events: neuron << 16 | count, in any order.
fn emit(token: u32, local: u32) {
    if local == 0u {
        atomicStore(&fired, 0u);
        atomicStore(&positive, 0u);
        atomicStore(&negative, 0u);
    }
    storageBarrier();
    workgroupBarrier();
    let quads = (shape.inputs + 3u) / 4u;
    let base = token * (1u + shape.inputs + quads);
    for (var quad = local; quad < quads; quad += WORKGROUP) {
        var word = 0u;
        for (var i = 0u; i < 4u; i += 1u) {
            let j = quad * 4u + i;
            if j >= shape.inputs { break; }
            let silent = (muted[shape.muted + j / 32u] >> (j % 32u)) & 1u;
            if silent == 1u { continue; }
            let r = current[token * shape.inputs + j] * inv_threshold[j] * neuron.inverse_scale;
            let c = count_spikes(r);
            if c != 0 {
                spikes[base + 1u + atomicAdd(&fired, 1u)] = (j << 16u) | (bitcast<u32>(c) & 0xffffu);
                word |= (bitcast<u32>(c) & 0xffu) << (8u * i);
                if c > 0 { atomicAdd(&positive, u32(c)); } else { atomicAdd(&negative, u32(-c)); }
            }
        }
        spikes[base + 1u + shape.inputs + quad] = word;
    }
    workgroupBarrier();
    if local == 0u {
        spikes[base] = atomicLoad(&fired);
        let at = (cursor.step * shape.sites + shape.site) * 4u;
        atomicAdd(&activity[at], atomicLoad(&fired));
        atomicAdd(&activity[at + 1u], atomicLoad(&positive));
        atomicAdd(&activity[at + 2u], atomicLoad(&negative));
    }
}

// I = rmsnorm(x)·norm.
@compute @workgroup_size(WORKGROUP)
fn fire_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if cursor.halted != 0u { return; }
    let token = group.x;
    if local < shape.lanes {
        for (var j = local; j < shape.inputs; j += shape.lanes) {
            current[token * shape.inputs + j] = source[token * shape.inputs + j];
        }
    }
    normalise(token, local);
    emit(token, local);
}

// I = rmsnorm_g(y·silu(z))·norm, plus the window branch's answer.
@compute @workgroup_size(WORKGROUP)
fn fire_gated(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if cursor.halted != 0u { return; }
    let token = group.x;
    let width = shape.inputs / shape.groups;
    let part = local / shape.lanes;
    let row = token * shape.row;
    if part < shape.groups {
        for (var i = local % shape.lanes; i < width; i += shape.lanes) {
            let j = part * width + i;
            current[token * shape.inputs + j] =
                source[token * shape.inputs + j] * silu(projected[row + shape.gate + j]);
        }
    }
    normalise(token, local);
    if shape.attention != 0u && part < shape.groups {
        for (var i = local % shape.lanes; i < width; i += shape.lanes) {
            let j = part * width + i;
            current[token * shape.inputs + j] += projected[row + shape.attention + j];
        }
    }
    emit(token, local);
}

// I = silu(gate)·up.
@compute @workgroup_size(WORKGROUP)
fn fire_swiglu(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if cursor.halted != 0u { return; }
    let token = group.x;
    let row = token * shape.row + shape.gate;
    for (var j = local; j < shape.inputs; j += WORKGROUP) {
        current[token * shape.inputs + j] = silu(projected[row + j]) * projected[row + shape.inputs + j];
    }
    emit(token, local);
}
