// experts.inc.h: which experts a token goes to, and the weighted sum of what they give. See experts.c and level.inc.h.
// Invariant: a token's experts, their weights and their sum depend on its own logits and rows alone; sums go from the
// lowest expert to the highest.

// The `k` largest, largest first; among equals the lower number. NaN counts as the least: there are always k.
static void choose_experts(const float *logits, int32_t count, int32_t k, int32_t *chosen) {
    float best[SWIFTLET_MAX_EXPERTS_PER_TOKEN];
    for (int32_t expert = 0, found = 0; expert < count; expert++) {
        float logit = logits[expert] == logits[expert] ? logits[expert] : -INFINITY;
        if (found == k && !(logit > best[k - 1])) continue;
        int32_t at = found < k ? found++ : k - 1;
        for (; at > 0 && logit > best[at - 1]; at--) {
            best[at] = best[at - 1];
            chosen[at] = chosen[at - 1];
        }
        best[at] = logit;
        chosen[at] = expert;
    }
}

static void sort_ascending(int32_t *values, int32_t count) {
    for (int32_t i = 1; i < count; i++) {
        int32_t value = values[i], at = i;
        for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
        values[at] = value;
    }
}

// exponentials [count] = exp(logits - maximum), and their sum. NaN stays NaN, so that whatever is computed shows it.
static float exponentials_of(const float *logits, int32_t count, float maximum, float *exponentials) {
    vf sum = vf_set(0);
    for (int32_t c = 0; c < count; c += 16) {
        vf x = load_row(logits + c, count - c, -INFINITY) - vf_set(maximum);
        vf y = vf_select(x == x, vf_select(x > vf_set(-87.0f), vf_exp(x), vf_set(0)), x);
        vf_store(exponentials + c, y);
        sum += y;
    }
    return vf_sum(sum);
}

static void route_tokens(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const route_work *work = context;
    int32_t k = work->per_token, first = item * work->tokens_per_item, rest = work->tokens - first;
    int32_t end = first + (rest < work->tokens_per_item ? rest : work->tokens_per_item);
    for (int32_t token = first; token < end; token++) {
        const float *logits = work->logits + (size_t)token * work->logits_stride;
        int32_t *chosen = work->experts + (size_t)token * (size_t)k;
        float *weights = work->weights + (size_t)token * (size_t)k;
        _Alignas(64) float exponentials[SWIFTLET_MAX_EXPERTS];
        choose_experts(logits, work->count, k, chosen);
        float sum = exponentials_of(logits, work->count, logits[chosen[0]], exponentials);
        sort_ascending(chosen, k);
        if (work->renormalizes) {
            sum = 0;
            for (int32_t i = 0; i < k; i++) sum += exponentials[chosen[i]];
        }
        for (int32_t i = 0; i < k; i++) weights[i] = exponentials[chosen[i]] / sum;
    }
}

static void sum_experts(void *context, int32_t item, int32_t thread) {
    (void)thread;
    const expert_sum_work *work = context;
    int32_t token = item / work->blocks, k = work->per_token, first = item % work->blocks * EXPERT_SUM_COLUMNS;
    int32_t end = work->columns - first < EXPERT_SUM_COLUMNS ? work->columns : first + EXPERT_SUM_COLUMNS;
    const int32_t *rows = work->rows + (size_t)token * (size_t)k;
    const float *weights = work->weights + (size_t)token * (size_t)k;
    float *out = work->out + (size_t)token * work->out_stride;
    for (int32_t c = first; c < end; c += 16) {
        vf sum = vf_set(weights[0]) * vf_load(work->partials + (size_t)rows[0] * work->partials_stride + c);
        for (int32_t i = 1; i < k; i++)
            sum = vf_fma(vf_set(weights[i]), vf_load(work->partials + (size_t)rows[i] * work->partials_stride + c),
                         sum);
        int32_t count = end - c < 16 ? end - c : 16;
        vf_store_first(out + c, work->adds ? vf_load_first(out + c, count) + sum : sum, count);
    }
}
