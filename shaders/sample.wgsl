// sample.wgsl - from logits to the next token of a burst, on the device. Twin: src/cpu/sample.rs, the same steps in the same
// order: penalty, temperature, softmax, top-k, top-p of what is left, min-p, then the largest logit + Gumbel noise.
// One workgroup. Instead of sorting it searches the bits of the least logit that is kept, two at a time.
override WORKGROUP: u32 = 256u;

struct Sampling {
    vocab: u32,        // v
    seed: u32,
    top_k: u32,        // 0 keeps all
    recent: u32,       // tokens in `history`
    position: u32,     // tokens before the burst
    ends: u32,         // tokens in `ends`
    temperature: f32,  // 0 is greedy
    top_p: f32,        // 1 keeps all
    ln_min_p: f32,
    penalty: f32,
}

@group(0) @binding(0) var<storage, read_write> cursor: Cursor;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;    // [v]
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;    // [steps]  the burst so far
@group(0) @binding(4) var<storage, read> history: array<u32>;         // [RECENT]  tokens before the burst
@group(0) @binding(5) var<storage, read> ends: array<u32>;            // [ends]  tokens that end a reply

const RECENT: u32 = 64u;      // tokens that the penalty looks back on (src/engine/mod.rs)
const NONE: u32 = 0xffffffffu;

var<workgroup> this_step: u32;
var<workgroup> partial: array<vec3<f32>, WORKGROUP>;
var<workgroup> best_value: array<f32, WORKGROUP>;
var<workgroup> best_token: array<u32, WORKGROUP>;

// Moves the cursor on; halts after a token that ends the reply. NONE: there is nothing to do.
fn next_step() -> u32 {
    if cursor.halted != 0u { return NONE; }
    let step = cursor.step + 1u;
    if step > 0u {
        for (var i = 0u; i < sampling.ends; i += 1u) {
            if ends[i] == tokens[step - 1u] {
                cursor.halted = 1u;
                return NONE;
            }
        }
    }
    cursor.step = step;
    cursor.position = sampling.position + step;
    return step;
}

// The i-th token back from the newest; NONE where there is none.
fn recent(i: u32, step: u32) -> u32 {
    let seen = sampling.recent + step;
    if i >= min(seen, RECENT) { return NONE; }
    let at = seen - 1u - i;
    if at < sampling.recent { return history[at]; }
    return tokens[at - sampling.recent];
}

// Divides positive logits of recent tokens, multiplies negative ones, each token once.
fn penalise(i: u32, step: u32) {
    let token = recent(i, step);
    if token >= sampling.vocab { return; }
    for (var j = 0u; j < i; j += 1u) {
        if recent(j, step) == token { return; }
    }
    let x = logits[token];
    logits[token] = select(x * sampling.penalty, x / sampling.penalty, x > 0.0);
}

// Bits that order as the floats do.
fn key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// The sum over all threads, in a fixed order.
fn total(local: u32, mine: vec3<f32>) -> vec3<f32> {
    workgroupBarrier();
    partial[local] = mine;
    for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if local < stride { partial[local] += partial[local + stride]; }
    }
    workgroupBarrier();
    return partial[0];
}

// What a logit weighs: its probability up to a factor, or one.
fn weight(x: f32, largest: f32, by_mass: bool) -> f32 {
    return select(1.0, exp_(x - largest), by_mass);
}

// The largest key such that the logits from it up, none below `least`, weigh `target` or more; 0 where all do not.
fn search(local: u32, least: u32, largest: f32, by_mass: bool, target_weight: f32) -> u32 {
    var found = 0u;
    for (var i = 0u; i < 16u; i += 1u) {
        let shift = 30u - 2u * i;
        var mine = vec3<f32>(0.0);
        for (var t = local; t < sampling.vocab; t += WORKGROUP) {
            let x = logits[t] / sampling.temperature;
            let k = key(x);
            if k < least { continue; }
            let w = weight(x, largest, by_mass);
            if k >= (found | (1u << shift)) { mine.x += w; }
            if k >= (found | (2u << shift)) { mine.y += w; }
            if k >= (found | (3u << shift)) { mine.z += w; }
        }
        let sums = total(local, mine);
        if sums.z >= target_weight {
            found |= 3u << shift;
        } else if sums.y >= target_weight {
            found |= 2u << shift;
        } else if sums.x >= target_weight {
            found |= 1u << shift;
        }
    }
    return found;
}

// The token whose value is largest, the first of equals, from every thread's own best.
fn best(local: u32, value: f32, token: u32) -> u32 {
    workgroupBarrier();
    best_value[local] = value;
    best_token[local] = token;
    for (var stride = WORKGROUP / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if local < stride {
            let other = local + stride;
            let larger = best_value[other] > best_value[local];
            let equal = best_value[other] == best_value[local] && best_token[other] < best_token[local];
            if larger || equal {
                best_value[local] = best_value[other];
                best_token[local] = best_token[other];
            }
        }
    }
    workgroupBarrier();
    return best_token[0];
}

// PCG's output function as a hash (Jarzynski and Olano, JCGT 2020).
fn pcg(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// Noise of the standard Gumbel distribution, from a hash of where it is wanted.
fn gumbel(position: u32, token: u32) -> f32 {
    let hash = pcg(token ^ pcg(position ^ pcg(sampling.seed)));
    let uniform_ = (f32(hash >> 9u) + 0.5) * (1.0 / 8388608.0);
    return -ln(max(-ln(uniform_), 1e-30));
}

@compute @workgroup_size(WORKGROUP)
fn sample(@builtin(local_invocation_index) local: u32) {
    if local == 0u { this_step = next_step(); }
    let step = workgroupUniformLoad(&this_step);
    if step == NONE { return; }
    if sampling.penalty != 1.0 && local < RECENT { penalise(local, step); }
    storageBarrier();
    workgroupBarrier();

    var largest = -3.4e38;
    var likeliest = NONE;
    for (var t = local; t < sampling.vocab; t += WORKGROUP) {
        if logits[t] > largest {
            largest = logits[t];
            likeliest = t;
        }
    }
    var token = best(local, largest, likeliest);
    if sampling.temperature != 0.0 {
        largest = best_value[0] / sampling.temperature;
        var least = 0u;
        if sampling.top_k > 0u && sampling.top_k < sampling.vocab {
            least = search(local, 0u, largest, false, f32(sampling.top_k));
        }
        if sampling.top_p < 1.0 {
            var mine = 0.0;
            for (var t = local; t < sampling.vocab; t += WORKGROUP) {
                let x = logits[t] / sampling.temperature;
                if key(x) >= least { mine += exp_(x - largest); }
            }
            let mass = total(local, vec3<f32>(mine, 0.0, 0.0)).x;
            least = max(least, search(local, least, largest, true, sampling.top_p * mass));
        }
        let kept = largest + sampling.ln_min_p;
        var value = -3.4e38;
        var chosen = NONE;
        for (var t = local; t < sampling.vocab; t += WORKGROUP) {
            let x = logits[t] / sampling.temperature;
            if key(x) < least || x < kept { continue; }
            let noisy = x + gumbel(cursor.position, t);
            if noisy > value {
                value = noisy;
                chosen = t;
            }
        }
        token = best(local, value, chosen);
    }
    if local == 0u { tokens[step] = select(token, 0u, token == NONE); }
}
