// window_attention.wgsl - the optional window branch: attention over the last W tokens and the first S, in rings of constant
// size. Twin: src/cpu/window_attention.rs. Three passes, each parallel over all tokens: `rotate` turns q and k where they lie,
// `attend` answers every query from the rings and from the pass's own keys, `remember` writes the newest keys to the rings.
//
// The answer takes the place of X in `projected`: the convolution has read it by then.
override WORKGROUP: u32 = 64u;
override TILE: u32 = 128u;    // positions that `attend` holds at a time

struct Shape {
    window: u32,       // W
    sinks: u32,        // S
    heads: u32,        // query heads
    kv_heads: u32,
    width: u32,        // w, a head's width
    row: u32,          // width of a row of `projected`
    q: u32,            // where q, then k, then v begin in it
    k: u32,
    v: u32,
    answer: u32,       // where the answer goes
    scale: f32,        // 1 / sqrt(w)
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> rotary: array<vec2<f32>>;         // [steps or tokens, w/2]  cos, sin
@group(0) @binding(3) var<storage, read_write> projected: array<f32>;      // [tokens, row]
@group(0) @binding(4) var<storage, read_write> ring_k: array<f32>;         // [S + W, kv heads, w]
@group(0) @binding(5) var<storage, read_write> ring_v: array<f32>;         // [S + W, kv heads, w]

// Pairs (j, j + w/2) of every head of q and k.
@compute @workgroup_size(WORKGROUP)
fn rotate(@builtin(global_invocation_id) id: vec3<u32>) {
    let half = shape.width / 2u;
    let t = id.y;
    if cursor.halted != 0u || t >= cursor.tokens || id.x >= (shape.heads + shape.kv_heads) * half { return; }
    let j = id.x % half;
    let turn = rotary[(cursor.step + t) * half + j];
    // k follows q, so head after head is in one run.
    let at = t * shape.row + shape.q + id.x / half * shape.width + j;
    let a = projected[at];
    let b = projected[at + half];
    projected[at] = a * turn.x - b * turn.y;
    projected[at + half] = a * turn.y + b * turn.x;
}

var<workgroup> score: array<f32, TILE>;

// Where position p's key (in `k`) or value lies: its ring slot.
fn slot(p: u32) -> u32 {
    return select(shape.sinks + (p - shape.sinks) % shape.window, p, p < shape.sinks);
}

// The i-th of the positions that a query at `position` sees, sinks first.
fn seen(i: u32, oldest: u32) -> u32 {
    return select(oldest + (i - min(shape.sinks, oldest)), i, i < min(shape.sinks, oldest));
}

@compute @workgroup_size(WORKGROUP)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if cursor.halted != 0u { return; }
    let head = group.x;
    let t = group.y;
    let position = cursor.position + t;
    let kv = head * shape.kv_heads / shape.heads * shape.width;
    let kv_row = shape.kv_heads * shape.width;
    let q = t * shape.row + shape.q + head * shape.width;
    let out = t * shape.row + shape.answer + head * shape.width;
    // The window begins here; before it only sinks are seen.
    let oldest = select(0u, position + 1u - shape.window, position + 1u > shape.window);
    let count = min(shape.sinks, oldest) + position + 1u - oldest;
    var largest = -3.0e38;
    var total = 0.0;
    for (var start = 0u; start < count; start += TILE) {
        let tile = min(TILE, count - start);
        workgroupBarrier();
        for (var i = local; i < tile; i += WORKGROUP) {
            let p = seen(start + i, oldest);
            var dot = 0.0;
            if p >= cursor.position {
                let k = (p - cursor.position) * shape.row + shape.k + kv;
                for (var j = 0u; j < shape.width; j += 1u) { dot += projected[q + j] * projected[k + j]; }
            } else {
                let k = slot(p) * kv_row + kv;
                for (var j = 0u; j < shape.width; j += 1u) { dot += projected[q + j] * ring_k[k + j]; }
            }
            score[i] = dot * shape.scale;
        }
        workgroupBarrier();
        var tile_largest = largest;
        for (var i = 0u; i < tile; i += 1u) { tile_largest = max(tile_largest, score[i]); }
        let shrink = exp_(largest - tile_largest);
        largest = tile_largest;
        total *= shrink;
        for (var i = 0u; i < tile; i += 1u) { total += exp_(score[i] - largest); }
        let last = start + tile == count;
        for (var j = local; j < shape.width; j += WORKGROUP) {
            var sum = 0.0;
            if start > 0u { sum = projected[out + j] * shrink; }
            for (var i = 0u; i < tile; i += 1u) {
                let p = seen(start + i, oldest);
                var v = 0.0;
                if p >= cursor.position {
                    v = projected[(p - cursor.position) * shape.row + shape.v + kv + j];
                } else {
                    v = ring_v[slot(p) * kv_row + kv + j];
                }
                sum += exp_(score[i] - largest) * v;
            }
            projected[out + j] = select(sum, sum / total, last);
        }
    }
}

// A pass's keys and values go to the rings, but those that a later token of the pass would overwrite.
@compute @workgroup_size(WORKGROUP)
fn remember(@builtin(global_invocation_id) id: vec3<u32>) {
    let kv_row = shape.kv_heads * shape.width;
    let t = id.y;
    if cursor.halted != 0u || t >= cursor.tokens || id.x >= kv_row { return; }
    let p = cursor.position + t;
    let overwritten = p >= shape.sinks && t + shape.window < cursor.tokens;
    if overwritten { return; }
    let at = slot(p) * kv_row + id.x;
    ring_k[at] = projected[t * shape.row + shape.k + id.x];
    ring_v[at] = projected[t * shape.row + shape.v + id.x];
}
