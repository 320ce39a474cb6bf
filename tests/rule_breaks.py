"""Each feature rule in words, ways to break it in the code, and the tests that have to notice.

`test_rules.py` tries them all on copies. Code that is changed takes its rows here along: each old text must occur once.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Break:
    """A text of a file of the package, what breaks the rule in its place, and the tests of which one must fail."""

    file: str
    old: str
    new: str
    nodes: tuple[str, ...]


def _break(file: str, old: str, new: str, *nodes: str) -> Break:
    """A break, with nodes as `roll::name` for `tests/test_roll.py::test_name`."""
    paths = tuple("tests/test_{}.py::test_{}".format(*node.split("::")) for node in nodes)
    return Break(f"pnet_tf/{file}.py", old, new, paths)


_ONSETS = "onset_offset[start[onsets], notes.pitch[onsets]] = 1"
_OFFSETS = "onset_offset[end[offsets], notes.pitch[offsets]] = -1"
_PADDING = "tf.pad(waveform, [[0, 0], [half, half]])"
_TARGET = "tf.math.log1p(power * spec.target_gain**2)"
_INVERSE = "tf.sqrt(tf.math.expm1(bounded)) / spec.target_gain"
_CHUNK = "slice(first, first + records.CHUNK_FRAMES)"
_AROUND = "around = ((0, first - window_frames), (end + window_frames, n_frames))"
_N_OFFSETS = "(self.end - self.first - self.window_frames + 1)[index]"
_JOIN = "weighted[:overlap] += pending"
_NETWORK = "unet::the_network_is_the_plan_worked_out_in_numpy"

RULES: dict[str, tuple[Break, ...]] = {
    "a note is active in frame t when start <= t * hop < end": (
        _break(
            "roll", "first = math.ceil(note.start_sec * rate)", "first = math.floor(note.start_sec * rate)",
            "roll::a_note_is_active_from_the_first_frame_at_or_after_its_start_to_the_last_before_its_end",
        ),
        _break(
            "roll", "math.ceil(note.end_sec * rate)", "math.floor(note.end_sec * rate) + 1",
            "roll::a_note_is_active_from_the_first_frame_at_or_after_its_start_to_the_last_before_its_end",
        ),
    ),
    "a note is active in at least one frame, however short": (
        _break("roll", "max(math.ceil(note.end_sec * rate), first + 1)", "math.ceil(note.end_sec * rate)",
               "roll::the_shortest_note_sounds_in_one_frame"),
    ),
    "an onset is +1 on the first active frame": (
        _break("roll", _ONSETS, _ONSETS.replace("start[onsets]", "np.minimum(start[onsets] + 1, n_frames - 1)"),
               "roll::the_shortest_note_sounds_in_one_frame"),
        _break("roll", _ONSETS, _ONSETS.replace("= 1", "= 2"), "roll::the_shortest_note_sounds_in_one_frame"),
    ),
    "an offset is -1 on the first frame after a note": (
        _break("roll", _OFFSETS, _OFFSETS.replace("end[offsets]", "end[offsets] - 1"),
               "roll::the_shortest_note_sounds_in_one_frame"),
    ),
    "a re-attack of the same pitch is an onset": (
        _break("roll", _ONSETS, "onset_offset[np.diff(pianoroll, axis=0, prepend=0) == 1] = 1",
               "roll::a_reattack_is_an_onset_and_wins_over_the_offset"),
    ),
    "where onset and offset meet the onset wins": (
        _break("roll", _ONSETS, f"{_ONSETS}\n    {_OFFSETS}", "roll::a_reattack_is_an_onset_and_wins_over_the_offset"),
    ),
    "a window that begins inside a note shows no onset there": (
        _break("roll", "onsets = (start >= 0) &", "start = np.maximum(start, 0)\n    onsets = (end > 0) &",
               "roll::a_window_that_begins_inside_a_note_shows_no_onset_there"),
    ),
    "rolls of two halves, joined, equal the roll of the whole": (
        _break("roll", "offsets = (end >= 0) &", "offsets = (end > 0) &", "roll::halves_join_to_the_whole"),
        _break("roll", "pianoroll[max(start[index], 0) :", "pianoroll[max(start[index], 1) :", "roll::halves_join_to_the_whole"),
    ),
    "the frame rate is exact and rational": (
        _break("spec", "return Fraction(self.sample_rate_hz, self.hop_samples)",
               "return Fraction(self.sample_rate_hz // self.hop_samples)", "spec::what_is_derived_is_exact"),
        _break("roll", "rate = spec.frame_rate_hz", "rate = 172", "roll::a_start_on_a_frame_is_exact_however_late"),
        _break("roll", "rate = spec.frame_rate_hz", "rate = float(spec.frame_rate_hz)",
               "roll::a_start_on_a_frame_is_exact_however_late"),
    ),
    "the target is log1p((target_gain * |STFT|) ** 2)": (
        _break("stft", _TARGET, "tf.math.log1p(power * spec.target_gain)", "stft::log_power_is_the_target_of_the_spec"),
        _break("stft", _TARGET, "tf.math.log1p(power)", "stft::log_power_is_the_target_of_the_spec"),
        _break("stft", _TARGET, "tf.math.log1p(tf.sqrt(power) * spec.target_gain)", "stft::log_power_is_the_target_of_the_spec"),
    ),
    "its inverse is sqrt(expm1(.)) / target_gain": (
        _break("stft", _INVERSE, "tf.math.expm1(bounded) / spec.target_gain", "stft::magnitude_undoes_log_power"),
        _break("stft", _INVERSE, "tf.sqrt(tf.math.expm1(bounded))", "stft::magnitude_undoes_log_power"),
    ),
    "what a network says below 0 counts as 0": (
        _break("stft", "tf.clip_by_value(log_power,", "tf.clip_by_value(tf.abs(log_power),",
               "stft::a_network_may_say_less_than_nothing_and_more_than_can_be"),
    ),
    "the inverse of the target comes before Griffin-Lim": (
        _break("export", "magnitude = stft.magnitude_from_log_power(log_power, self._spec)", "magnitude = log_power",
               "export::inversion_is_griffin_lim_of_the_magnitude"),
        _break("inversion_compiled", "block = stft.magnitude_from_log_power(", "block = (lambda log_power, _: log_power)(",
               "inversion::in_blocks_it_comes_as_near_as_in_one_go"),
    ),
    "all bins are used": (
        _break("spec", "return self.n_fft // 2 + 1", "return 150", "spec::what_is_derived_is_exact"),
        _break("preparer", "stft.log_power_from_stft(stfts, spec)[0],",
               "tf.where(tf.range(spec.n_bins) < 150, stft.log_power_from_stft(stfts, spec)[0], 0.0),",
               "preparer::the_target_is_librosas_to_the_last_frame_and_over_the_borders_of_blocks"),
        _break("stft", _INVERSE, f"tf.where(tf.range(spec.n_bins) < 150, {_INVERSE}, 0.0)", "stft::magnitude_undoes_log_power"),
    ),
    "frame t is centred on sample t * hop": (
        _break("stft", _PADDING, "tf.pad(waveform, [[0, 0], [0, 2 * half]])", "stft::frames_are_centred"),
        _break("preparer", "padded[half : half + len(waveform)]", "padded[: len(waveform)]",
               "features_golden::what_is_stored_of_a_recording_is_that_of_the_schema_version"),
    ),
    "beyond the ends of a waveform lie zeros": (
        _break("stft", _PADDING, 'tf.pad(waveform, [[0, 0], [half, half]], mode="REFLECT")',
               "stft::what_lies_beyond_the_ends_is_silence"),
    ),
    "the window is a periodic Hann": (
        _break("stft", "np.arange(spec.n_fft) / spec.n_fft", "np.arange(spec.n_fft) / (spec.n_fft - 1)",
               "stft::stft_equals_librosas_with_phase"),
    ),
    "the inverse STFT is exact to both edges": (
        _break("stft", "covered = trim(samples_from_hops(sum_of_windows(n_frames, spec)[None]), spec)",
               "covered = 3 / 8 * spec.n_fft / spec.hop_samples",
               "stft::the_frame_formula_holds_and_the_inverse_is_exact_to_the_edges"),
    ),
    "every frame of a recording is stored once": (
        _break("preparer", _CHUNK, "slice(first, first + records.CHUNK_FRAMES + 1)",
               "preparer::joined_the_chunks_of_a_recording_are_the_whole"),
    ),
    "no frame is dropped at the end of a recording": (
        _break("preparer", _CHUNK, "slice(first, min(first + records.CHUNK_FRAMES, len(log_power) - 1))",
               "preparer::joined_the_chunks_of_a_recording_are_the_whole"),
        _break("spec", "return 1 + n_samples // self.hop_samples", "return n_samples // self.hop_samples",
               "spec::what_is_derived_is_exact"),
    ),
    "a recording is brought to the level over the frames in which notes sound": (
        _break("preparer", "[sounding[:n_hops]]", "", "preparer::sounding_frames_are_brought_to_the_level_of_the_spec"),
        _break("preparer", "log_power_of(waveform * np.float32(gain), job.spec)", "log_power_of(waveform, job.spec)",
               "preparer::the_stored_sound_has_the_level_whatever_the_recordings"),
    ),
    "windows are cut at a fresh offset each epoch": (
        _break("dataset", "SeedSequence([seed, epoch])", "SeedSequence([seed])",
               "dataset::each_epoch_cuts_each_range_at_fresh_offsets_all_over_it"),
        _break("dataset", "(stratum + random.random(len(index)))", "(stratum + 0.5)",
               "dataset::each_epoch_cuts_each_range_at_fresh_offsets_all_over_it"),
    ),
    "the order of windows is a pure function of seed and step": (
        _break("dataset", "SeedSequence([seed, epoch])", "SeedSequence()",
               "dataset::an_epoch_is_a_pure_function_and_keeps_inside_its_ranges"),
        _break("dataset", "SeedSequence([seed, epoch])", "SeedSequence([epoch])", "dataset::seeds_and_epochs_give_other_windows"),
        _break("dataset", ".skip(skipped_rows)", "", "dataset::step_k_is_the_same_batch_whether_the_training_ran_or_went_on"),
        _break("dataset", "tf.data.Dataset.range(first_epoch,", "tf.data.Dataset.range(0,",
               "dataset::step_k_is_the_same_batch_whether_the_training_ran_or_went_on"),
    ),
    "a batch is the global one, and devices add up to its gradient": (
        _break("train_step", "tf.reduce_sum(losses) / options.batch_size", "tf.reduce_mean(losses)",
               "train_step::shares_of_a_batch_add_up_to_the_step_of_the_whole"),
        _break("dataset", "return slice(self.index * size, (self.index + 1) * size)", "return slice(0, size)",
               "dataset::workers_and_devices_together_read_what_one_reads"),
    ),
    "the gradient of all devices together is clipped": (
        _break("train_step", "longest / tf.maximum(norm, longest)", "longest / norm",
               "train_step::a_long_gradient_is_shortened_and_a_short_one_is_left"),
    ),
    "a window of validation weighs the same in any batch": (
        _break("validation", 'losses * tf.cast(batch["weight"], losses.dtype)', "losses",
               "validation::a_window_that_only_fills_a_batch_weighs_nothing"),
    ),
    "norms and loss are never in halves": (
        _break("blocks", "keras.config.dtype_policy().variable_dtype", "keras.config.dtype_policy().compute_dtype",
               "unet::norms_and_output_are_never_halves"),
    ),
    "biases before norms stay at 0": (
        _break("blocks", 'layer.bias.trainable = norm == "none"', "layer.bias.trainable = True",
               "unet::biases_before_norms_are_fixed_and_mean_nothing"),
    ),
    "a window that is moved in pitch is moved with its score": (
        _break("augmentation", "tf.roll(rolled, semitones, axis=1)", "tf.roll(rolled, -semitones, axis=1)",
               "augmentation::the_score_moves_with_the_sound"),
        _break("augmentation", "dtype=tf.float32) / ratio", "dtype=tf.float32) * ratio",
               "augmentation::a_moved_tone_is_the_tone_that_is_so_much_higher"),
        _break("augmentation", "tf.where(stays[None], ", "tf.where(stays[None] | True, ",
               "augmentation::what_leaves_the_roll_does_not_come_in_on_the_other_side"),
        _break("dataset", "are_moved=bool(pitch_shift)", "are_moved=False",
               "dataset::moved_windows_are_the_planned_ones_moved_as_far_as_was_drawn"),
    ),
    "with loud weights the best prediction is still the mean": (
        _break("loss", "tf.stop_gradient(prediction), 0.0", "target, 0.0",
               "loss::with_loud_weights_the_mean_of_the_targets_is_still_the_best_prediction"),
    ),
    "the variance weight asks each bin to move as far as in the recording": (
        _break("loss", "tf.math.reduce_variance(x, axis=1)", "tf.math.reduce_variance(x, axis=2)",
               "loss::variance_error_by_hand"),
        _break("loss", "sum(weight * error(", "sum(error(",
               "loss::weights_of_losses_add_up_and_none_leaves_the_loss_as_it_is"),
    ),
    "without norms the level is kept and biases learn": (
        _break("blocks", 'if norm == "instance" else x', "if norm else x",
               "unet::without_norms_a_window_shows_what_the_whole_shows"),
        _break("blocks", 'layer.bias.trainable = norm == "none"', "layer.bias.trainable = False",
               "unet::without_norms_biases_learn_and_the_first_output_is_neither_tiny_nor_huge"),
    ),
    "a checkpoint is whole or not there, and a damaged one gives way": (
        _break("checkpoint", "for path in reversed(paths):", "for path in reversed(paths[-1:]):",
               "checkpoint::a_damaged_newest_checkpoint_gives_way_to_the_one_before"),
        _break("checkpoint", "return np.array(keras.ops.convert_to_numpy(variable))",
               "return variable", "checkpoint::what_is_written_is_what_it_was_at_the_call"),
    ),
    "no checkpoint is written of spoilt weights": (
        _break("trainer", "                self._look_at_last(points, line)\n                self.save()",
               "                self.save()", "trainer::no_checkpoint_is_written_of_spoilt_weights"),
    ),
    "the order goes on where it was": (
        _break("trainer", "first_step=self.progress.step,", "first_step=0,",
               "trainer::a_run_that_went_on_learns_what_an_unbroken_one_learns"),
    ),
    "the test split is by recording": (
        _break("splits", 'ranges={"test": ((0, entry.n_frames),)}',
               'ranges={"train": ((0, entry.n_frames // 2),), "test": ((entry.n_frames // 2, entry.n_frames),)}',
               "splits::ranges_are_by_recording_with_a_guard_of_one_window"),
    ),
    "validation is one contiguous part of a training recording": (
        _break("splits", '"validation": ((first, end),),', '"validation": ((first, first + 1), (first + 1, end)),',
               "splits::ranges_are_by_recording_with_a_guard_of_one_window"),
    ),
    "validation is whole windows": (
        _break("splits", "length = n_windows * window_frames", "length = n_windows * window_frames - 1",
               "splits::ranges_are_by_recording_with_a_guard_of_one_window"),
    ),
    "one window is left out on both sides of validation": (
        _break("splits", _AROUND, _AROUND.replace("first - window_frames", "first"),
               "splits::no_window_of_one_split_overlaps_one_of_another"),
        _break("splits", _AROUND, _AROUND.replace("end + window_frames", "end"),
               "splits::no_window_of_one_split_overlaps_one_of_another"),
        _break("dataset", "if window_frames > shards.manifest.guard_frames:", "if False:",
               "dataset::windows_longer_than_the_guard_are_refused"),
    ),
    "windows never leave their range": (
        _break("dataset", _N_OFFSETS, "(self.end - self.first + 1)[index]",
               "dataset::an_epoch_is_a_pure_function_and_keeps_inside_its_ranges"),
        _break("dataset", "first_frame=first_frame - chunk * chunk_frames,", "first_frame=0 * first_frame,",
               "dataset::every_offset_reads_right_over_every_chunk_border_and_at_the_end"),
    ),
    "lengths inside the network are multiples of 16": (
        _break("model_config", "FRAME_MULTIPLE = 2 ** (len(PAPER.encoder) - 1)", "FRAME_MULTIPLE = 2 ** (len(PAPER.encoder) - 2)",
               "unet::as_many_frames_come_out_as_go_in"),
    ),
    "output frames equal input frames": (
        _break("blocks", "n_frames == x.shape[1] else x[:, :n_frames]", "n_frames == x.shape[1] else x",
               "unet::as_many_frames_come_out_as_go_in"),
        _break("blocks", "n_frames == x.shape[1] else x[:, :n_frames]", "n_frames == x.shape[1] else x[:, -n_frames:]",
               "blocks::padding_and_cropping_undo_one_another"),
    ),
    "the norms leave the padding out": (
        _break("blocks", "ops.arange(ops.shape(x)[1]) < n_real", "ops.arange(ops.shape(x)[1]) >= 0",
               "blocks::padding_changes_no_norm"),
        _break("blocks", "InstanceNorm(2**level,", "InstanceNorm(1,", _NETWORK),
    ),
    "norm and activation have PyTorch's numbers": (
        _break("model_config", "EPSILON = 1e-5", "EPSILON = 1e-3", "blocks::padding_changes_no_norm"),
        _break("model_config", "NEGATIVE_SLOPE = 0.01", "NEGATIVE_SLOPE = 0.3",
               "blocks::convolution_norm_and_activation_equal_pytorch"),
    ),
    "skips and conditions join equal times": (
        _break("unet", "[x, levels[level]]", "[x, keras.ops.roll(levels[level], 1, axis=1)]", _NETWORK),
        _break("unet", "[x, conditions[condition_level]]", "[x, keras.ops.roll(conditions[condition_level], 1, axis=1)]",
               _NETWORK),
    ),
    "transposed kernels have 6, 4, 3, 2 frames and keep the time": (
        _break("model_config", "(1024, 3, None), (1024, 2, None)", "(1024, 2, None), (1024, 3, None)", _NETWORK),
        _break("blocks", "normalise(_before_norm(layer, x, norm),",
               "normalise(ops.roll(_before_norm(layer, x, norm), 1, axis=1),",
               "blocks::transposed_convolution_equals_pytorch_at_equal_times"),
    ),
    "bands are independent, and each block adds its input": (
        _break("blocks", "bands = ops.split(x,", "bands = ops.split(x + ops.mean(x, axis=-1, keepdims=True),",
               "blocks::bands_do_not_see_one_another"),
        _break("blocks", 'bands = layers.Add(name=f"{name}_bands")([x, y])', "bands = y",
               "blocks::multi_band_residual_equals_pytorchs_grouped_convolutions"),
    ),
    "the paper's plan has 249,804,801 parameters": (
        _break("model_config", "(256, 512, 1024, 2048, 4096)", "(256, 512, 1024, 2048, 2048)",
               "unet::parameters_are_as_many_as_in_the_paper_s_plan"),
        _break("model_config", "bands: tuple[int, ...] = (2, 4, 8, 16)", "bands: tuple[int, ...] = (2, 4, 8)",
               "unet::parameters_are_as_many_as_in_the_paper_s_plan"),
    ),
    "a score is performed in windows of the training length": (
        _break("render",
               "(self.n_frames, self._voice.window_frames)\n        return starts, min(self.n_frames, self._voice.window_frames)",
               "(self.n_frames, self.n_frames)\n        return starts, self.n_frames",
               "render::a_voice_that_looks_at_single_frames_draws_the_piece_as_in_one_go"),
    ),
    "windows overlap by at least the receptive field": (
        _break("windows", "max(window_frames // 2, 1)", "max(window_frames * 3 // 4, 1)",
               "windows::neighbours_share_half_a_window"),
    ),
    "the shares of the windows add up to 1": (
        _break("windows", "risen = risen - _fade(", "risen = risen - 0 * _fade(",
               "windows::the_shares_of_the_windows_add_up_to_one_everywhere"),
    ),
    "windows are joined in log power": (
        _break("windows", _JOIN, "weighted[:overlap] = np.log1p(np.expm1(weighted[:overlap]) + np.expm1(pending))",
               "windows::windows_that_disagree_are_cross_faded_in_log_power"),
    ),
    "a piece has one phase from its start to its end": (
        _break("inversion_compiled", "(block, self._carry, first_frame",
               "(block, griffin_lim.nothing_before(block, self._spec), first_frame",
               "inversion::in_blocks_it_comes_as_near_as_in_one_go"),
    ),
    "hiss is gated where nothing sounds, and notes are left as they are": (
        _break("light_gate", "FLOOR, FULL = 0.1, 0.4", "FLOOR, FULL = -0.1, 0.0",
               "hiss_gate::what_is_silent_but_for_small_errors_becomes_silence"),
        _break("light_gate", "FLOOR, FULL = 0.1, 0.4", "FLOOR, FULL = 0.1, 4.0", "hiss_gate::notes_are_left_as_they_are"),
        _break("hiss_gate", "closing = 1 - (since", "closing = 2 - 0 * (since",
               "hiss_gate::a_rest_fades_out_and_the_next_note_finds_the_gate_open"),
        _break("render", "gain[None, frames], **levels)", "gain[None, frames], ceiling=levels['ceiling'])",
               "render::the_noise_of_the_voices_recordings_sounds_while_notes_do"),
    ),
    "a file has the loudness that was asked for": (
        _break("perform_sound", "loudness_lufs=loudness_lufs, source_lufs=", "loudness_lufs=None, source_lufs=",
               "perform_sound::a_file_has_the_loudness_that_was_asked_for"),
    ),
    "specs are compared wherever two of them meet": (
        _break("spec", "    if differences:", "    if False:", "spec::no_number_may_differ_unnoticed"),
        _break("preparation", "require_same(plan.spec, theirs,", "require_same(plan.spec, plan.spec,",
               "preparation::another_gain_is_a_mismatch_of_specs"),
        _break("run_folder", "require_same(ours.spec, theirs.spec,", "require_same(ours.spec, ours.spec,",
               "run_folder::data_of_another_spec_is_refused"),
    ),
    "a shard set and a SavedModel bring their spec along": (
        _break("shard_set", "spec = FeatureSpec.read(folder)", "spec = FeatureSpec()",
               "shard_set::a_set_has_the_spec_that_it_brings_along"),
        _break("export", "write_text(trained.spec.to_json()", "write_text(FeatureSpec(target_gain=1.0).to_json()",
               "export::spec_and_voice_are_inside_and_each_weight_once"),
        _break("savedmodel", "spec = FeatureSpec.read(assets) if", "spec = FeatureSpec() if",
               "join::a_voice_has_the_spec_that_it_brings_along"),
    ),
    "a mismatch names the field, both values and both places": (
        _break("spec", "{field.name} is {getattr(ours", "one field is {getattr(ours",
               "spec::equal_specs_pass_and_different_ones_say_which_field_where"),
        _break("spec", "!r} in {our_place} and", "!r} and", "spec::equal_specs_pass_and_different_ones_say_which_field_where"),
        _break("spec", "!r} in {their_place}", "!r}", "spec::equal_specs_pass_and_different_ones_say_which_field_where"),
    ),
    "features that change get a new schema_version": (
        _break("spec", "schema_version: int = 1", "schema_version: int = 2",
               "features_golden::the_schema_version_has_its_golden_file"),
        _break("roll", "max(math.ceil(note.end_sec * rate), first + 1)", "max(round(note.end_sec * rate), first + 1)",
               "features_golden::rolls_are_those_of_the_schema_version"),
        _break("stft", _TARGET, "tf.math.log1p(power * (spec.target_gain + 1) ** 2)",
               "features_golden::targets_are_those_of_the_schema_version"),
    ),
    "the best checkpoint is that of the lowest validation loss": (
        _break("trainer", "if value < before.best_loss and", "if value != before.best_loss and",
               "trainer::best_weights_schedule_and_checkpoint_follow_the_validations"),
    ),
    "a training begins with the weights that it is told to, and goes on with no others": (
        _break("learner", "elif cluster.is_chief and settings.init_from is not None:", "elif False:",
               "learner::it_begins_with_the_weights_it_is_told_to_and_so_does_the_average"),
        _break("training", 'return recorded if recorded.get("sha256") == found["sha256"] else found',
               "return recorded or found", "training::a_training_goes_on_with_the_same_first_weights_and_with_no_others"),
    ),
    "nothing comes in through a voice folder but weights of its network": (
        _break("voice_folder", "if (found, dtype) != (shape, _HALF):", "if False:",
               "voice_folder::a_member_that_is_no_such_weight_is_refused_before_its_numbers_are_read"),
        _break("voice_folder", "if (found := sha256_of(folder / name)) != fields.get(key):",
               'if (found := sha256_of(folder / name)) == "":',
               "voice_folder::a_changed_number_is_noticed_by_the_digest_and_by_the_checksum",
               "voice_folder::a_changed_network_or_spec_that_the_weights_would_fit_is_noticed"),
        _break("voice_folder", "require_weights_for(folder / WEIGHTS_NAME, spec, config)", "pass",
               "voice_folder::a_network_far_larger_than_its_weights_is_never_built"),
    ),
    "the tempo map of a MIDI file is exact": (
        _break("score_midi", "* sec_per_tick[index - 1])", "* sec_per_tick[index])",
               "score_midi::tempo_changes_inside_and_between_notes_are_exact"),
        _break("score_midi", "Fraction(usec, 10**6) / rate", "Fraction(round(Fraction(usec, 10**6) / rate, 9))",
               "score_midi::tempo_changes_inside_and_between_notes_are_exact"),
    ),
    "ties are joined": (
        _break("score_performed", "joined[index] = dataclasses.replace(joined[index], end_sec=note.end_sec)",
               "joined.append(note)", "score_performed::ties_join_within_and_across_bars_and_re_attacks_stay"),
    ),
    "repeats are played": (
        _break("score_musicxml", "orders.append(_expanded(stream))", "orders.append([])",
               "score_musicxml::repeats_are_played_and_their_bars_listed"),
    ),
    "grace notes steal at most 60 ms before their beat": (
        _break("score_performed", "Fraction(60, 1000)", "Fraction(61, 1000)",
               "score_performed::grace_notes_share_sixty_milliseconds_before_the_beat"),
        _break("score_performed", "begin_sec = max(beat_sec - room_sec, Fraction(0))", "begin_sec = beat_sec",
               "score_performed::grace_notes_share_sixty_milliseconds_before_the_beat"),
    ),
    "the tempo map is that of the whole score, whatever the part": (
        _break("score_musicxml", "times_from_tempos(tempos)", "times_from_tempos(_tempos(chosen, ignored))",
               "score_musicxml::a_tempo_in_the_first_part_holds_for_the_second"),
    ),
    "pitch is sounding pitch": (
        _break("score_musicxml", "    chosen.toSoundingPitch(inPlace=True)\n", "", "score_musicxml::pitch_is_as_heard"),
    ),
}
