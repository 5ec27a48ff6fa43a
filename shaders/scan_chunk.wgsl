// scan_chunk.wgsl - the selective scan for many tokens by state space duality (Mamba-2, arXiv 2405.21060, section 6):
// within a chunk of CHUNK tokens a masked product as in linear attention, and the state only at its end; chunk after chunk,
// so the time is linear in the tokens. Twin: src/cpu/scan.rs (scan_chunk).
//
// A workgroup owns ROWS rows of one head's state and the same rows of y.
override WORKGROUP: u32 = 128u;
override ROWS: u32 = 16u;
override CHUNK: u32 = 32u;

struct Shape {
    heads: u32,        // h
    head_dim: u32,     // p
    d_state: u32,      // n
    groups: u32,       // g
    row: u32,          // width of a row of `projected`
    dt: u32,           // where dt begins in it
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> projected: array<f32>;      // [tokens, row]
@group(0) @binding(3) var<storage, read> xbc: array<f32>;            // [tokens, h·p + 2·g·n]
@group(0) @binding(4) var<storage, read> dt_bias: array<f32>;        // [h]
@group(0) @binding(5) var<storage, read> a: array<f32>;              // [h]
@group(0) @binding(6) var<storage, read> d: array<f32>;              // [h]
@group(0) @binding(7) var<storage, read_write> state: array<f32>;    // [h, p, n]
@group(0) @binding(8) var<storage, read_write> y: array<f32>;        // [tokens, h, p]

var<workgroup> delta: array<f32, CHUNK>;
var<workgroup> log_decay: array<f32, CHUNK>;         // of the chunk's first state after each token, as a logarithm
var<workgroup> mix: array<f32, CHUNK * CHUNK>;       // [t, s]  what token s gives to y of token t >= s

@compute @workgroup_size(WORKGROUP)
fn scan_chunk(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let head = group.y;
    let first_row = group.x * ROWS;
    let rows = min(ROWS, shape.head_dim - first_row);
    let inner = shape.heads * shape.head_dim;
    let n = shape.d_state;
    let channels = inner + 2u * shape.groups * n;
    let b = inner + head * shape.groups / shape.heads * n;
    let c = b + shape.groups * n;
    let x = head * shape.head_dim + first_row;
    for (var start = 0u; start < cursor.tokens; start += CHUNK) {
        let tokens = min(CHUNK, cursor.tokens - start);
        storageBarrier();
        workgroupBarrier();
        for (var t = local; t < tokens; t += WORKGROUP) {
            delta[t] = softplus(projected[(start + t) * shape.row + shape.dt + head] + dt_bias[head]);
        }
        workgroupBarrier();
        if local == 0u {
            var sum = 0.0;
            for (var t = 0u; t < tokens; t += 1u) {
                sum += delta[t] * a[head];
                log_decay[t] = sum;
            }
        }
        workgroupBarrier();
        for (var i = local; i < tokens * tokens; i += WORKGROUP) {
            let t = i / tokens;
            let s = i % tokens;
            if s > t { continue; }
            var dot = 0.0;
            for (var j = 0u; j < n; j += 1u) {
                dot += xbc[(start + s) * channels + b + j] * xbc[(start + t) * channels + c + j];
            }
            mix[t * CHUNK + s] = exp_(log_decay[t] - log_decay[s]) * dot * delta[s];
        }
        workgroupBarrier();
        for (var i = local; i < tokens * rows; i += WORKGROUP) {
            let t = i / rows;
            let row = i % rows;
            var dot = 0.0;
            for (var j = 0u; j < n; j += 1u) {
                dot += state[(x + row) * n + j] * xbc[(start + t) * channels + c + j];
            }
            var sum = exp_(log_decay[t]) * dot + d[head] * xbc[(start + t) * channels + x + row];
            for (var s = 0u; s <= t; s += 1u) {
                sum += mix[t * CHUNK + s] * xbc[(start + s) * channels + x + row];
            }
            y[(start + t) * inner + x + row] = sum;
        }
        storageBarrier();
        workgroupBarrier();
        let last = log_decay[tokens - 1u];
        for (var i = local; i < rows * n; i += WORKGROUP) {
            let row = i / n;
            let j = i % n;
            var next = state[(x + row) * n + j] * exp_(last);
            for (var s = 0u; s < tokens; s += 1u) {
                let at = (start + s) * channels;
                next += exp_(last - log_decay[s]) * delta[s] * xbc[at + x + row] * xbc[at + b + j];
            }
            state[(x + row) * n + j] = next;
        }
    }
}
