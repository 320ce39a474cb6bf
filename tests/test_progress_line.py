"""What stands in the terminal while a network learns."""

from pnet_tf.progress_line import ProgressLine


def test_steps_loss_speed_and_time_left_are_shown(capsys):
    with ProgressLine(10, 20, is_shown=True) as line:
        line.speed(12.34)
        for k in range(10):
            line.step(2.0 - k / 10)
    said = capsys.readouterr().err.split("\r")[-1]
    assert "20/20" in said and "loss=1.1000" in said and "windows/s=12.3" in said and "<00:00" in said


def test_a_log_file_is_not_filled_with_lines(capsys):
    with ProgressLine(0, 500, is_shown=True) as line:
        for _ in range(500):
            line.step(1.0)
    assert capsys.readouterr().err.count("\r") < 5


def test_others_than_the_chief_are_silent(capsys):
    with ProgressLine(0, 2, is_shown=False) as line:
        line.step(1.0)
        line.speed(1.0)
    assert capsys.readouterr().err == ""
