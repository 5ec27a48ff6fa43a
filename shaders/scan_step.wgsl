// scan_step.wgsl - Mamba-2's selective scan for one token: state <- exp(Δ·A)·state + (Δ·x) ⊗ B, y = state·C + D·x.
// Twin: src/cpu/scan.rs (scan_step). LANES threads share a row [n] of the state; a workgroup has ROWS rows of one head.
override LANES: u32 = 16u;    // a power of two
override ROWS: u32 = 8u;

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

var<workgroup> partial: array<f32, LANES * ROWS>;

@compute @workgroup_size(LANES, ROWS)
fn scan_step(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    if cursor.halted != 0u { return; }
    let head = group.y;
    let row = group.x * ROWS + local.y;
    let inner = shape.heads * shape.head_dim;
    let n = shape.d_state;
    let b = inner + head * shape.groups / shape.heads * n;
    let c = b + shape.groups * n;
    let here = row < shape.head_dim;
    let at = head * shape.head_dim + row;
    var x = 0.0;
    var sum = 0.0;
    if here {
        let delta = softplus(projected[shape.dt + head] + dt_bias[head]);
        let decay = exp_(delta * a[head]);
        x = xbc[at];
        let dx = delta * x;
        for (var j = local.x; j < n; j += LANES) {
            let next = decay * state[at * n + j] + dx * xbc[b + j];
            state[at * n + j] = next;
            sum += next * xbc[c + j];
        }
    }
    partial[index] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if local.x < stride { partial[index] += partial[index + stride]; }
    }
    if here && local.x == 0u { y[at] = partial[index] + d[head] * x; }
}
