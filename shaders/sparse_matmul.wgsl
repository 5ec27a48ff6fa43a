// sparse_matmul.wgsl - the projection behind a site, for many tokens against the same weights: each weight is read once for
// a tile of tokens, and a row that none of a thread's tokens fired for is passed over. Twin: src/cpu/sparse_matmul.rs.
override COLUMNS: u32 = 8u;   // words of a row that a workgroup owns
override PAIRS: u32 = 8u;     // pairs of tokens that it owns
override ROWS: u32 = 32u;     // inputs that it holds at a time; a multiple of 4

struct Shape {
    inputs: u32,
    outputs: u32,      // of the whole projection: width of a row of `out`
    first: u32,        // output that this part of the matrix begins with
    columns: u32,      // outputs of this part
    row_words: u32,    // 32-bit words of a packed row of this part
    residual: u32,     // 1: add to `out`; 0: overwrite it
}

@group(0) @binding(0) var<uniform> cursor: Cursor;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<uniform> neuron: Neuron;
@group(0) @binding(3) var<storage, read> spikes: array<u32>;       // [tokens, 1 + inputs + inputs/4]
@group(0) @binding(4) var<storage, read> weight: array<u32>;       // [inputs, row_words]
@group(0) @binding(5) var<storage, read> scale: array<f32>;        // [outputs]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;    // [tokens, outputs]

var<workgroup> counts: array<u32, PAIRS * ROWS / 2u>;              // [2 · PAIRS, ROWS / 4]  four to a word
var<workgroup> weights: array<u32, ROWS * COLUMNS>;                // [ROWS, COLUMNS]

fn write(token: u32, column: u32, sum: i32) {
    if token >= cursor.tokens || column >= shape.columns { return; }
    let o = shape.first + column;
    let at = token * shape.outputs + o;
    let value = f32(sum) * scale[o] * neuron.threshold_scale;
    if shape.residual == 1u { out[at] += value; } else { out[at] = value; }
}

@compute @workgroup_size(COLUMNS, PAIRS)
fn sparse_matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let fields = 32u / BITS;
    let quads = (shape.inputs + 3u) / 4u;
    let stride = 1u + shape.inputs + quads;
    let first_word = group.x * COLUMNS;
    let first_token = group.y * 2u * PAIRS;
    var even: array<i32, 16>;
    var odd: array<i32, 16>;
    for (var start = 0u; start < shape.inputs; start += ROWS) {
        workgroupBarrier();
        for (var i = index; i < PAIRS * ROWS / 2u; i += COLUMNS * PAIRS) {
            let token = first_token + i / (ROWS / 4u);
            let quad = start / 4u + i % (ROWS / 4u);
            var word = 0u;
            if token < cursor.tokens && quad < quads { word = spikes[token * stride + 1u + shape.inputs + quad]; }
            counts[i] = word;
        }
        for (var i = index; i < ROWS * COLUMNS; i += COLUMNS * PAIRS) {
            let row = start + i / COLUMNS;
            let word = first_word + i % COLUMNS;
            var packed = 0u;
            if row < shape.inputs && word < shape.row_words { packed = weight[row * shape.row_words + word]; }
            weights[i] = packed;
        }
        workgroupBarrier();
        for (var row = 0u; row < ROWS; row += 1u) {
            let at = 8u * (row % 4u);
            let c0 = extractBits(bitcast<i32>(counts[2u * local.y * (ROWS / 4u) + row / 4u]), at, 8u);
            let c1 = extractBits(bitcast<i32>(counts[(2u * local.y + 1u) * (ROWS / 4u) + row / 4u]), at, 8u);
            if c0 == 0 && c1 == 0 { continue; }
            let packed = weights[row * COLUMNS + local.x];
            for (var f = 0u; f < fields; f += 1u) {
                let w = field(packed, f);
                even[f] += c0 * w;
                odd[f] += c1 * w;
            }
        }
    }
    let token = first_token + 2u * local.y;
    for (var f = 0u; f < fields; f += 1u) {
        let column = (first_word + local.x) * fields + f;
        write(token, column, even[f]);
        write(token + 1u, column, odd[f]);
    }
}
