# ---- How it is computed -------------------------------------------------------------------------------------------
#
# Cells are the combinations of the factors' levels that have at least one trial at each level. A response is a list:
# `frame` (y, block and the factors f1, f2, ...), `grid` (each cell's levels), `n`, `mean`, `var` (of each cell), `Y`
# (blocks x cells, for shared seeds), and what the design is. Responses are centred, which keeps digits and changes no
# test. Weights are one number for each cell.

figures <- list() # every figure, in the order of its computation
families <- list() # p values that wait for their adjustment

note <- function(response, table, key, ...) {
  values <- list(...)
  for (field in names(values)) {
    value <- unname(values[[field]])
    if (length(value) == 1 && is.finite(value)) {
      figures[[length(figures) + 1]] <<- c(response, table, key, field, sprintf("%.15g", value))
    }
  }
}

show <- function(title, frame) {
  cat("\n", title, "\n", sep = "")
  print(frame, row.names = FALSE, digits = 6)
}

trials_of <- function(column, scale = "raw", exclusive = FALSE) {
  y <- suppressWarnings(as.numeric(trials[[column]]))
  kept <- is.finite(y)
  if (exclusive) kept <- kept & as.numeric(trials[["concurrent_trials"]]) <= 1
  y <- y[kept]
  if (scale == "log") y <- log(y)
  if (scale == "logit") {
    # Values on a bound move inwards by half the smallest distance from a bound that occurs.
    distance <- pmin(y, 1 - y)
    if (any(distance == 0)) {
      step <- min(distance[distance > 0]) / 2
      y <- pmin(pmax(y, step), 1 - step)
    }
    y <- log(y / (1 - y))
  }
  frame <- data.frame(y = y - mean(y))
  position <- list()
  shown <- list()
  for (i in seq_along(study$factors)) {
    one <- study$factors[[i]]
    index <- match(one$levels[match(trials[[one$column]][kept], one$texts)], unique(one$levels))
    seen <- sort(unique(index))
    frame[[paste0("f", i)]] <- factor(match(index, seen), levels = seq_along(seen))
    shown[[i]] <- unique(one$levels)[seen]
    position[[i]] <- one$position[seen]
  }
  frame$block <- if (is.null(study$block)) seq_along(y) else match(study$blocks[kept], unique(study$blocks[kept]))
  describe(frame, mean(y), shown, position, column, 1e-14 * max(abs(y), if (scale != "raw") 1))
}

describe <- function(frame, offset, shown, position, name, tiny) {
  sizes <- lengths(shown)
  grid <- rev(expand.grid(rev(lapply(sizes, seq_len)))) # the last factor varies fastest
  names(grid) <- paste0("f", seq_along(sizes))
  columns <- lapply(names(grid), function(f) as.integer(frame[[f]]))
  cell <- rep(0, nrow(frame))
  for (i in seq_along(sizes)) cell <- cell * sizes[i] + columns[[i]] - 1
  cell <- factor(cell + 1, levels = seq_len(nrow(grid)))
  groups <- unname(split(frame$y, cell))
  d <- list(
    name = name, tiny = tiny, frame = frame, offset = offset, shown = shown, position = position, grid = grid, cell = cell,
    n = lengths(groups), mean = sapply(groups, mean), var = sapply(groups, var),
    active = which(sizes > 1), paired = !is.null(study$block)
  )
  d$seen <- d$n > 0
  d$complete <- all(d$seen)
  d$df <- sum(d$n) - sum(d$seen)
  d$ss <- sum(((d$n - 1) * d$var)[d$n > 1])
  if (d$paired) {
    d$Y <- matrix(NA_real_, max(frame$block), nrow(grid))
    d$Y[cbind(frame$block, as.integer(cell))] <- frame$y
  }
  d$replicated <- d$df > 0 && max(frame$block) > 1
  d
}

factor_name <- function(i) study$factors[[i]]$name
term_name <- function(term) paste(sapply(term, factor_name), collapse = ":")
all_terms <- function(d) {
  do.call(c, lapply(seq_along(d$active), function(size) {
    combn(length(d$active), size, function(chosen) d$active[chosen], simplify = FALSE)
  }))
}
in_model <- function(terms) {
  if (!length(terms)) return(y ~ 1)
  reformulate(sapply(terms, function(term) paste0("f", term, collapse = ":")), "y")
}
saturated <- function(d) lm(in_model(all_terms(d)), d$frame)
main_effects <- function(d) lm(in_model(as.list(d$active)), d$frame)
not_containing <- function(term, terms) Filter(function(other) !all(term %in% other), terms)
connected <- function(d) main_effects(d)$rank == 1 + sum(lengths(d$shown)[d$active] - 1)

# ---- Weights ----

stratum <- function(d, without) {
  others <- setdiff(seq_along(d$shown), without)
  if (length(others)) do.call(paste, unname(d$grid[others])) else rep("all", nrow(d$grid))
}

# The cells of some levels: numbers of factors, and the number of a level of each.
inside <- function(d, within) {
  held <- rep(TRUE, nrow(d$grid))
  for (k in seq_along(within$factor)) held <- held & d$grid[[within$factor[k]]] == within$level[k]
  held
}

# Levels by their names; d numbers those that have trials.
levels_named <- function(d, i, names) {
  list(factor = i, level = mapply(function(j, name) match(name, d$shown[[j]]), i, names, USE.NAMES = FALSE))
}

also <- function(held, within) Map(c, held, within)

# One number for each level of a factor; 0 for those that are not named.
on_levels <- function(d, i, levels, weights) {
  replace(rep(0, length(d$shown[[i]])), match(levels, d$shown[[i]]), weights)
}

# A contrast of the levels of one factor, averaged over those combinations of the others that have all it needs.
contrast_weights <- function(d, i, of_levels, within = NULL) {
  weights <- of_levels[d$grid[[i]]]
  strata <- stratum(d, i)
  wanted <- unique(strata[inside(d, within)])
  usable <- Filter(function(s) all(d$seen[strata == s & abs(weights) > 1e-12]), wanted)
  if (length(usable)) weights * (strata %in% usable) / length(usable)
}

# The slope over one ordered factor (the others free), or of the product of two (each given the others, additive).
slope_weights <- function(d, i, within = NULL) {
  used <- inside(d, within) & d$seen
  steps <- lapply(i, function(j) d$position[[j]][d$grid[[j]]] - mean(d$position[[j]]))
  product <- Reduce(`*`, steps)
  groups <- if (length(i) == 1) list(stratum(d, i)) else lapply(i, function(j) stratum(d, j))
  free <- do.call(cbind, lapply(groups, function(group) outer(group, unique(group), "==") + 0))
  left <- lm.fit(free[used, , drop = FALSE], product[used])$residuals
  weights <- rep(0, nrow(d$grid))
  weights[used] <- left / sum(left^2)
  attr(weights, "product") <- if (length(i) == 2) product
  weights
}

# Every difference of differences: first minus second level of each factor.
interaction_weights <- function(d, i) {
  strata <- stratum(d, i)
  pairs <- lapply(i, function(j) combn(length(d$shown[[j]]), 2, simplify = FALSE))
  chosen <- rev(expand.grid(rev(lapply(pairs, seq_along))))
  lapply(seq_len(nrow(chosen)), function(row) {
    sign <- 1
    for (k in seq_along(i)) {
      pair <- pairs[[k]][[chosen[row, k]]]
      sign <- sign * ((d$grid[[i[k]]] == pair[1]) - (d$grid[[i[k]]] == pair[2]))
    }
    usable <- Filter(function(s) all(d$seen[strata == s & sign != 0]), unique(strata))
    if (length(usable)) sign * (strata %in% usable) / length(usable)
  })
}

# ---- Estimates ----

t_figures <- function(estimate, se, df, alpha) {
  half <- qt(1 - alpha / 2, df) * se
  list(
    estimate = estimate, se = se, df = df, statistic = estimate / se, p = 2 * pt(-abs(estimate / se), df),
    interval_low = estimate - half, interval_high = estimate + half
  )
}

one_variance <- function(d, weights, mse, df, alpha) {
  used <- abs(weights) > 1e-12
  estimate <- sum((weights * d$mean)[used]) + d$offset * sum(weights)
  t_figures(estimate, sqrt(mse * sum((weights^2 / d$n)[used])), df, alpha)
}

seed_scores <- function(d, weights) {
  used <- abs(weights) > 1e-12
  rows <- d$Y[complete.cases(d$Y[, used, drop = FALSE]), used, drop = FALSE]
  drop(rows %*% weights[used]) + d$offset * sum(weights)
}

# The estimate by the method that the design decides: list(main, classical, beside).
estimate_of <- function(d, weights, alpha) {
  used <- abs(weights) > 1e-12
  if (any(used & !d$seen)) return(NULL)
  if (!d$replicated) {
    columns <- model.matrix(main_effects(d))
    columns <- cbind(columns, attr(weights, "product")[as.integer(d$cell)])
    fit <- lm.fit(columns, d$frame$y)
    cells <- as.integer(d$cell)
    if (abs(sum(weights)) < 1e-9) weights[cells] <- lm.fit(columns, weights[cells])$fitted.values
    main <- one_variance(d, weights, sum(fit$residuals^2) / fit$df.residual, fit$df.residual, alpha)
    return(list(main = main, classical = main))
  }
  if (d$paired) {
    scores <- seed_scores(d, weights)
    if (length(scores) < 2 || sd(scores) <= d$tiny) return(NULL)
    test <- t.test(scores, conf.level = 1 - alpha)
    main <- t_figures(unname(test$estimate), test$stderr, unname(test$parameter), alpha)
    classical <- if (!all(complete.cases(d$Y[, d$seen, drop = FALSE]))) fixed_blocks(d, weights, alpha)
    return(list(main = main, classical = classical, beside = sign_flip(scores, weights), scores = scores))
  }
  classical <- one_variance(d, weights, d$ss / d$df, d$df, alpha)
  part <- (weights^2 * d$var / d$n)[used]
  if (any(d$n[used] < 2) || any(d$var[used] <= d$tiny^2)) {
    return(list(main = classical, classical = classical))
  }
  main <- t_figures(classical$estimate, sqrt(sum(part)), sum(part)^2 / sum(part^2 / (d$n[used] - 1)), alpha)
  list(main = main, classical = classical, beside = classical$p)
}

fixed_blocks <- function(d, weights, alpha) {
  fit <- lm(y ~ 0 + cell + block, data.frame(y = d$frame$y, cell = droplevels(d$cell), block = factor(d$frame$block)))
  if (anyNA(coef(fit))) return(NULL)
  on <- c(weights[d$seen], rep(0, length(coef(fit)) - sum(d$seen)))
  t_figures(sum(on * coef(fit)), sqrt(drop(on %*% vcov(fit) %*% on)), fit$df.residual, alpha)
}

sign_flip <- function(scores, weights) {
  if (length(scores) < 6 || length(scores) > 20 || abs(sum(weights)) > 1e-9) return(NULL)
  sums <- 0
  for (score in scores) sums <- c(sums + score, sums - score)
  mean(abs(sums) >= abs(sum(scores)) - 1e-10 * sum(abs(scores)))
}

# Hedges' g: of the seeds' scores, or of the difference of two averages of cells over the pooled SD.
hedges <- function(d, weights, found) {
  if (!d$replicated || (!d$paired && abs(sum(abs(weights)) - 2) > 1e-6)) return(NULL)
  df <- if (d$paired) found$main$df else d$df
  if (df < 2) return(NULL)
  size <- if (d$paired) mean(found$scores) / sd(found$scores) else found$main$estimate / sqrt(d$ss / d$df)
  exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2) * size
}

cliff <- function(d, weights) {
  used <- which(abs(weights) > 1e-12)
  if (length(used) != 2 || any(abs(sort(weights[used]) - c(-1, 1)) > 1e-6)) return(NULL)
  values <- lapply(c(1, -1), function(sign) d$frame$y[d$cell %in% which(weights * sign > 0.5)])
  mean(sign(outer(values[[1]], values[[2]], "-")))
}

equivalence <- function(main, margin) {
  if (is.null(margin)) return(NULL)
  max(pt(-(main$estimate + margin) / main$se, main$df), pt((main$estimate - margin) / main$se, main$df))
}

with_prefix <- function(values, prefix) {
  if (is.null(values)) list() else setNames(values, paste0(prefix, names(values)))
}

# One effect under its key; returns what its family needs.
effect <- function(d, key, weights, family = NULL, margin = NULL, ratio = FALSE) {
  found <- if (!is.null(weights)) estimate_of(d, weights, study$alpha)
  if (is.null(found)) return(NULL)
  main <- found$main
  values <- c(
    main, with_prefix(found$classical, "classical_"),
    list(robust_p = found$beside, hedges_g = hedges(d, weights, found), cliffs_delta = cliff(d, weights)),
    list(equivalence_p = equivalence(main, margin), ratio = if (ratio) exp(main$estimate))
  )
  do.call(note, c(list(d$name, "effects", key), values))
  in_family(family, d$name, key, main$p, found$classical$p)
  data.frame(
    effect = key, estimate = main$estimate, se = main$se, df = main$df, t = main$statistic, p = main$p,
    low = main$interval_low, high = main$interval_high
  )
}

in_family <- function(family, response, key, p, classical_p) {
  if (!is.null(family)) {
    member <- list(response = response, key = key, p = p, classical = if (is.null(classical_p)) NA else classical_p)
    families[[family]] <<- c(families[[family]], list(member))
  }
}

# Holm over everything that was put into a family; the classical figures count what could not be tested, too, as emmeans.
holm <- function(family, untested = 0) {
  members <- families[[family]]
  if (!length(members)) return(invisible())
  adjusted <- p.adjust(sapply(members, `[[`, "p"), "holm")
  classical <- p.adjust(c(sapply(members, `[[`, "classical"), rep(1, untested)), "holm")
  for (i in seq_along(members)) {
    note(members[[i]]$response, "effects", members[[i]]$key, p_adjusted = adjusted[i])
    if (!anyNA(classical)) note(members[[i]]$response, "effects", members[[i]]$key, classical_p_holm = classical[i])
  }
  cat("\nHolm-adjusted p of the family `", family, "`:\n", sep = "")
  print(data.frame(effect = sapply(members, `[[`, "key"), p = adjusted), row.names = FALSE, digits = 6)
}

# ---- Families ----

tabulate_effects <- function(title, rows) show(title, do.call(rbind, Filter(Negate(is.null), rows)))

# All differences of two levels' marginal means. Independent trials on a complete grid: the classical figures by emmeans.
pairwise <- function(d, i, family, ...) {
  name <- factor_name(i)
  pairs <- combn(length(d$shown[[i]]), 2, simplify = FALSE)
  keys <- sapply(pairs, function(pair) paste0("pairs:", name, ":", paste(d$shown[[i]][pair], collapse = " - ")))
  rows <- lapply(seq_along(pairs), function(k) {
    weights <- contrast_weights(d, i, replace(rep(0, length(d$shown[[i]])), pairs[[k]], c(1, -1)))
    row <- effect(d, keys[k], weights, family, ...)
    found <- if (!is.null(row)) estimate_of(d, weights, study$alpha)$classical
    if (!is.null(found)) {
      p <- ptukey(sqrt(2) * abs(found$statistic), length(d$shown[[i]]), found$df, lower.tail = FALSE)
      note(d$name, "effects", keys[k], classical_p_tukey = p)
    }
    row
  })
  tabulate_effects(paste("All pairwise comparisons of", name), rows)
  holm(family, sum(sapply(rows, is.null)))
  if (d$replicated && !d$paired && d$complete) {
    means <- suppressMessages(emmeans::emmeans(saturated(d), paste0("f", i)))
    by_emmeans(d, pairs(means), keys)
    for (adjust in c("holm", "tukey")) {
      p <- as.data.frame(summary(pairs(means), adjust = adjust))$p.value
      for (k in seq_along(keys)) do.call(note, c(list(d$name, "emmeans", keys[k]), setNames(p[k], paste0("classical_p_", adjust))))
    }
  }
}

by_emmeans <- function(d, contrasts, keys) {
  found <- as.data.frame(summary(contrasts, infer = TRUE, adjust = "none", level = 1 - study$alpha))
  for (k in seq_along(keys)) {
    row <- found[k, ]
    note(d$name, "emmeans", keys[k],
      classical_estimate = row$estimate, classical_se = row$SE, classical_df = row$df,
      classical_statistic = row$t.ratio, classical_p = row$p.value,
      classical_interval_low = row$lower.CL, classical_interval_high = row$upper.CL
    )
  }
  cat("\nThe same by emmeans, one variance for all cells:\n")
  print(found, row.names = FALSE, digits = 6)
}

# The primary contrast or slope within each level of another factor.
within_levels <- function(d, i, weights_at, family, ...) {
  rows <- lapply(seq_along(d$shown[[i]]), function(level) {
    key <- paste0("simple:", factor_name(i), ":", d$shown[[i]][level])
    effect(d, key, weights_at(list(factor = i, level = level)), family, ...)
  })
  tabulate_effects(family, rows)
  holm(family, sum(sapply(rows, is.null)))
}

interaction_contrasts <- function(d, i, label, family, ...) {
  weights <- interaction_weights(d, i)
  keys <- paste0("interaction:", label, ":", seq_along(weights))
  rows <- lapply(seq_along(weights), function(k) effect(d, keys[k], weights[[k]], family, ...))
  tabulate_effects(family, rows)
  holm(family, sum(sapply(rows, is.null)))
  if (d$replicated && !d$paired && d$complete) {
    means <- suppressMessages(emmeans::emmeans(saturated(d), paste0("f", i)))
    sizes <- sapply(i, function(j) choose(length(d$shown[[j]]), 2))
    order_of_ours <- as.vector(aperm(array(seq_along(weights), rev(sizes)))) # emmeans: the first factor varies fastest
    by_emmeans(d, emmeans::contrast(means, interaction = "pairwise"), keys[order_of_ours])
  }
}

# ---- Tables ----

observed_cells <- function(d, alpha) {
  half <- qt(1 - alpha / 2, pmax(d$n - 1, 1)) * sqrt(d$var / d$n)
  rows <- lapply(which(d$seen), function(k) {
    levels <- sapply(seq_along(d$shown), function(i) d$shown[[i]][d$grid[[i]][k]])
    names <- sapply(seq_along(d$shown), factor_name)
    value <- d$mean[k] + d$offset
    key <- paste0(names, "=", levels, collapse = ",")
    note(d$name, "cells", key,
      n = d$n[k], mean = value, sd = sqrt(d$var[k]), interval_low = value - half[k], interval_high = value + half[k]
    )
    data.frame(cell = key, n = d$n[k], mean = value, sd = sqrt(d$var[k]), low = value - half[k], high = value + half[k])
  })
  show("Means of all cells", do.call(rbind, rows))
}

marginal_means <- function(d, alpha) {
  for (i in seq_along(d$shown)) {
    keys <- paste0(factor_name(i), "=", d$shown[[i]])
    if (d$replicated && !d$paired && length(d$shown[[i]]) > 1) {
      means <- suppressMessages(emmeans::emmeans(saturated(d), paste0("f", i), level = 1 - alpha))
      found <- as.data.frame(summary(means))
      found <- data.frame(mean = found$emmean, low = found$lower.CL, high = found$upper.CL) + d$offset
    } else {
      found <- do.call(rbind, lapply(seq_along(keys), function(level) {
        inside <- d$grid[[i]] == level
        found <- estimate_of(d, inside / sum(inside), alpha)
        main <- if (d$replicated && !d$paired) found$classical else found$main
        if (is.null(main)) main <- list(estimate = NA, interval_low = NA, interval_high = NA)
        data.frame(mean = main$estimate, low = main$interval_low, high = main$interval_high)
      }))
    }
    for (k in seq_along(keys)) {
      note(d$name, "marginals", keys[k], mean = found$mean[k], interval_low = found$low[k], interval_high = found$high[k])
    }
    show(paste("Marginal means of", factor_name(i)), cbind(level = d$shown[[i]], found))
  }
}

f_row <- function(d, table, term, ss, df1, error_ss, df2) {
  f <- (ss / df1) / (error_ss / df2)
  row <- list(
    statistic = f, df1 = df1, df2 = df2, p = pf(f, df1, df2, lower.tail = FALSE), sum_sq = ss,
    partial_eta_sq = f * df1 / (f * df1 + df2), partial_omega_sq = (f - 1) * df1 / (f * df1 + df2 + 1)
  )
  do.call(note, c(list(d$name, table, term_name(term)), row))
  data.frame(term = term_name(term), row)
}

# car: every term given all others, sum coding.
type3 <- function(d) {
  used <- paste0("f", d$active)
  fit <- lm(in_model(all_terms(d)), d$frame, contrasts = setNames(rep(list("contr.sum"), length(used)), used))
  car::Anova(fit, type = 3)
}

# Type III on complete grids, type II elsewhere.
sum_of_squares <- function(d, term) {
  if (d$complete) return(type3(d)[paste0("f", term, collapse = ":"), c("Sum Sq", "Df")])
  type2(d, term, all_terms(d))
}

anova_type3 <- function(d) {
  found <- type3(d)
  error <- found["Residuals", ]
  rows <- lapply(all_terms(d), function(term) {
    row <- found[paste0("f", term, collapse = ":"), ]
    f_row(d, "anova_type3", term, row[["Sum Sq"]], row[["Df"]], error[["Sum Sq"]], error[["Df"]])
  })
  show("Analysis of variance, type III", do.call(rbind, rows))
}

# Models with and without a term, given all that do not contain it; ranks, so that missing cells do no harm.
type2 <- function(d, term, terms) {
  base <- not_containing(term, terms)
  small <- lm(in_model(base), d$frame)
  large <- lm(in_model(c(base, list(term))), d$frame)
  list(deviance(small) - deviance(large), large$rank - small$rank)
}

anova_type2 <- function(d, table = "anova_type2", terms = all_terms(d), error = list(d$ss, d$df)) {
  rows <- lapply(terms, function(term) {
    if (length(term) == 1 && !connected(d)) return(NULL)
    ss <- type2(d, term, terms)
    if (ss[[2]] > 0) f_row(d, table, term, ss[[1]], ss[[2]], error[[1]], error[[2]])
  })
  show("Analysis of variance, type II", do.call(rbind, rows))
}

# One trial per cell: main effects against all interaction.
additive_type2 <- function(d) {
  fit <- main_effects(d)
  anova_type2(d, "additive_type2", as.list(d$active), list(deviance(fit), fit$df.residual))
}

tukey_nonadditivity <- function(d) {
  fit <- main_effects(d)
  parts <- lapply(d$active, function(i) ave(d$frame$y, d$frame[[paste0("f", i)]]) - mean(d$frame$y))
  rest <- lm(update(formula(fit), . ~ . + product), cbind(d$frame, product = parts[[1]] * parts[[2]]))
  row <- f_row(d, "tukey_nonadditivity", d$active, deviance(fit) - deviance(rest), 1, deviance(rest), rest$df.residual)
  show("Tukey's test of nonadditivity", row)
}

# An orthonormal basis of what a term adds to the terms that do not contain it, in the cells with trials.
term_basis <- function(d, term) {
  coded <- lapply(d$grid, function(level) {
    size <- max(level)
    if (size > 1) contr.sum(size)[level, , drop = FALSE]
  })
  columns <- function(term) {
    block <- matrix(1, nrow(d$grid), 1)
    for (i in term) block <- do.call(cbind, lapply(seq_len(ncol(coded[[i]])), function(k) block * coded[[i]][, k]))
    block[d$seen, , drop = FALSE]
  }
  base <- do.call(cbind, c(list(rep(1, sum(d$seen))), lapply(not_containing(term, all_terms(d)), columns)))
  left <- svd(qr.resid(qr(base), columns(term)))
  left$u[, left$d > 1e-9, drop = FALSE]
}

whole_blocks <- function(d) {
  rows <- d$Y[, d$seen, drop = FALSE]
  rows[complete.cases(rows), , drop = FALSE]
}

# Every term against its interaction with the blocks, df by Greenhouse and Geisser. By afex, but for missing cells and
# for terms with more df than blocks, which afex leaves without a correction.
rm_anova <- function(d) {
  terms <- Filter(function(term) length(term) > 1 || connected(d), all_terms(d))
  few <- function(term) prod(lengths(d$shown)[term] - 1) >= nrow(whole_blocks(d))
  by_afex <- if (d$complete) rm_by_afex(d, Filter(Negate(few), terms))
  rows <- lapply(terms, function(term) {
    found <- Filter(function(row) row$term == term_name(term), by_afex)
    if (length(found)) found[[1]] else rm_by_scores(d, term)
  })
  rows <- Filter(Negate(is.null), rows)
  for (row in rows) do.call(note, c(list(d$name, "rm_anova", row$term), row[-1]))
  show("Repeated-measures analysis of variance", do.call(rbind, lapply(rows, as.data.frame)))
}

rm_by_afex <- function(d, terms) {
  whole <- complete.cases(d$Y)
  frame <- d$frame[d$frame$block %in% which(whole), ]
  frame$block <- factor(frame$block)
  fit <- suppressMessages(suppressWarnings(afex::aov_ez("block", "y", frame,
    within = paste0("f", d$active), anova_table = list(correction = "GG", es = "pes"), include_aov = FALSE
  )))
  found <- fit$anova_table
  sums <- suppressWarnings(summary(fit$Anova, multivariate = FALSE))$univariate.tests
  lapply(terms, function(term) {
    name <- paste0("f", term, collapse = ":")
    row <- found[name, ]
    list(
      term = term_name(term), statistic = row[["F"]], df1 = row[["num Df"]], df2 = row[["den Df"]],
      p = row[["Pr(>F)"]], sum_sq = sums[name, "Sum Sq"], partial_eta_sq = row[["pes"]],
      epsilon = row[["num Df"]] / prod(lengths(d$shown)[term] - 1)
    )
  })
}

rm_by_scores <- function(d, term) {
  basis <- term_basis(d, term)
  rows <- whole_blocks(d)
  r <- ncol(basis)
  if (nrow(rows) < 2 || r == 0) return(NULL)
  scores <- rows %*% basis
  S <- cov(scores)
  ss <- nrow(rows) * sum(colMeans(scores)^2)
  f <- ss / sum(diag(S))
  epsilon <- if (r > 1) sum(diag(S))^2 / (r * sum(S^2)) else 1
  df1 <- epsilon * r
  df2 <- df1 * (nrow(rows) - 1)
  list(
    term = term_name(term), statistic = f, df1 = df1, df2 = df2, p = pf(f, df1, df2, lower.tail = FALSE),
    sum_sq = ss, partial_eta_sq = f * df1 / (f * df1 + df2), epsilon = epsilon
  )
}

# The ANOVA-type statistic of Brunner, Dette and Munk (1997): a variance for each cell.
ats_of <- function(d, term) {
  C <- matrix(1)
  for (i in seq_along(d$shown)) {
    k <- length(d$shown[[i]])
    C <- C %x% (if (i %in% term) diag(k) - 1 / k else matrix(1 / k, k, k))
  }
  S <- diag(d$var / d$n)
  D <- diag(diag(C))
  trace <- sum(diag(D %*% S))
  f <- drop(d$mean %*% C %*% d$mean) / trace
  df1 <- trace^2 / sum(diag(C %*% S %*% C %*% S))
  df2 <- trace^2 / sum(diag(D %*% D %*% S %*% S) / (d$n - 1))
  list(statistic = f, df1 = df1, df2 = df2, p = pf(f, df1, df2, lower.tail = FALSE))
}

ats <- function(d) {
  rows <- lapply(all_terms(d), function(term) {
    found <- ats_of(d, term)
    do.call(note, c(list(d$name, "ats", term_name(term)), found))
    data.frame(term = term_name(term), found)
  })
  show("ANOVA-type statistic", do.call(rbind, rows))
}

# A hypothesis on an interaction as a whole: the test of the table that decides, and the size of the interaction.
interaction_effect <- function(d, key, i, family = NULL, margin = NULL) {
  term <- sort(i)
  means <- if (d$paired) colMeans(whole_blocks(d)) else d$mean[d$seen]
  size <- sqrt(sum((t(term_basis(d, term)) %*% means)^2) / length(means))
  if (d$paired) {
    found <- rm_by_scores(d, term)
    values <- list(statistic = found$statistic, df = found$df2, p = found$p)
  } else {
    ss <- sum_of_squares(d, term)
    f <- ss[[1]] / ss[[2]] / (d$ss / d$df)
    classical <- list(statistic = f, df = d$df, p = pf(f, ss[[2]], d$df, lower.tail = FALSE))
    by_cell <- d$complete && all(d$n > 1) && all(d$var > d$tiny^2)
    robust <- if (by_cell) ats_of(d, term)
    values <- if (by_cell) c(robust[c("statistic", "p")], df = robust$df2, robust_p = classical$p) else classical
  }
  worst <- if (!is.null(margin)) sapply(interaction_weights(d, i), function(weights) {
    found <- if (!is.null(weights)) estimate_of(d, weights, study$alpha)
    if (is.null(found)) NA else equivalence(found$main, margin)
  })
  do.call(note, c(list(d$name, "effects", key, estimate = size), values, list(equivalence_p = if (length(worst)) max(worst))))
  in_family(family, d$name, key, values$p, NULL)
  show(paste("Interaction of", term_name(term)), data.frame(effect = key, size = size, values))
}
