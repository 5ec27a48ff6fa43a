// lm_head.wgsl - logits: the embedding is also the head. Twins: src/cpu/norm.rs (rmsnorm), src/cpu/lm_head.rs.
// A large embedding lies in several parts, one dispatch each.
override WORKGROUP: u32 = 256u;
override LANES: u32 = 16u;    // threads that share a row; a power of two
override ROWS: u32 = 8u;

struct Shape {
    d: u32,
    row_words: u32,    // 32-bit words of a packed row
    first: u32,        // token of the part's first row
    rows: u32,         // rows of the part
    vocab: u32,        // v
    wanted: u32,       // first token of the pass that logits are wanted of; LAST: its last alone
    eps: f32,
}

const LAST: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;                // [tokens, d]
@group(0) @binding(3) var<storage, read> norm: array<f32>;             // [d]
@group(0) @binding(4) var<storage, read_write> hidden: array<f32>;     // [wanted, d]  after the final norm
@group(0) @binding(5) var<storage, read> embed: array<u32>;            // [rows, row_words]
@group(0) @binding(6) var<storage, read> scale: array<f32>;            // [v]
@group(0) @binding(7) var<storage, read_write> logits: array<f32>;     // [wanted, v]

var<workgroup> partial: array<f32, WORKGROUP>;

// hidden = rmsnorm(x)·norm, one workgroup a token.
@compute @workgroup_size(WORKGROUP)
fn final_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if cursor.halted != 0u { return; }
    let t = select(shape.wanted + group.x, cursor.tokens - 1u, shape.wanted == LAST);
    var sum = 0.0;
    for (var j = local; j < shape.d; j += WORKGROUP) { sum += x[t * shape.d + j] * x[t * shape.d + j]; }
    partial[local] = sum;
    for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if local < stride { partial[local] += partial[local + stride]; }
    }
    workgroupBarrier();
    let inverse = 1.0 / sqrt(partial[0] / f32(shape.d) + shape.eps);
    for (var j = local; j < shape.d; j += WORKGROUP) {
        hidden[group.x * shape.d + j] = x[t * shape.d + j] * inverse * norm[j];
    }
}

var<workgroup> dots: array<f32, LANES * ROWS>;

// logits = scale · (embed · hidden), ROWS tokens of the vocabulary a workgroup.
@compute @workgroup_size(LANES, ROWS)
fn lm_head(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    if cursor.halted != 0u { return; }
    let fields = 32u / BITS;
    let row = group.x * ROWS + local.y;
    var dot = 0.0;
    if row < shape.rows {
        for (var word = local.x; word * fields < shape.d; word += LANES) {
            let packed = embed[row * shape.row_words + word];
            for (var f = 0u; f < min(fields, shape.d - word * fields); f += 1u) {
                dot += hidden[group.y * shape.d + word * fields + f] * f32(field(packed, f));
            }
        }
    }
    dots[index] = dot;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if local.x < stride { dots[index] += dots[index + stride]; }
    }
    if row < shape.rows && local.x == 0u {
        logits[group.y * shape.vocab + shape.first + row] = scale[shape.first + row] * dots[index];
    }
}
