"""Everything that can be asked for wrongly on the command line.

Each is refused in one line that names the value, the rule and the way out; nothing is left behind.  A new option
belongs in this table.
"""

import errno

import pytest

from keras_dd.apps.main import main

# The command line: (arguments, what stderr says).  In the folder are "file", "full/of things", "locked" and "loop".

WHOLE_NUMBERS = ("width", "parts", "overlap", "subnet-epochs", "epochs", "batch-size", "crop", "seed")
COMMANDS = [
    ("fit --nonsense", "No such option"),
    ("fit extra", "unexpected extra argument"),
    ("fti", "No such command 'fti'"),
    ("--nonsense", "No such option"),
    *((f"fit --{name} x", f"'--{name}': 'x' is not a valid integer") for name in WHOLE_NUMBERS),
    *((f"fit --{name} 1.5", f"'--{name}': '1.5' is not a valid integer") for name in WHOLE_NUMBERS),
    *((f"fit --{name}", f"Option '--{name}' requires an argument") for name in WHOLE_NUMBERS),
    *((f"fit --{name} -1", f"{name.replace('-', '_')} is -1: it must be at least") for name in WHOLE_NUMBERS),
    ("fit --width 0", "width is 0: it must be at least 1"),
    ("fit --parts 0", "parts is 0: it must be at least 1"),
    ("fit --batch-size 0", "batch_size is 0: it must be at least 1"),
    ("fit --seed 2147483648", "seed is 2147483648: it must be at least 0 and below 2147483648"),
    ("fit --validation-split 1", "validation_split is 1.0: it must be at least 0 and below 1"),
    ("fit --validation-split -0.5", "validation_split is -0.5"),
    ("fit --validation-split nan", "validation_split is nan"),
    ("fit --validation-split inf", "validation_split is inf"),
    ("fit --validation-split half", "'half' is not a valid float"),
    ("fit --grid 2", "'2' is not ROWSxCOLUMNS, as in 2x4."),
    ("fit --grid 2x", "'2x' is not ROWSxCOLUMNS"),
    ("fit --grid axb", "'axb' is not ROWSxCOLUMNS"),
    ("fit --grid 2x2x2", "'2x2x2' is not ROWSxCOLUMNS"),
    ("fit --grid 0x4", "'0x4' is not ROWSxCOLUMNS"),
    ("fit --grid -2x-2", "'-2x-2' is not ROWSxCOLUMNS"),
    ("fit --grid 2x3 --parts 4", "grid 2x3 has 6 boxes but parts is 4: try grid 2x2, or 6 parts"),
    ("fit --grid 1x64", "the image's width of 32 px cannot be cut into 64 boxes"),
    ("fit --grid 3x3 --overlap 0", "cuts the image's height of 32 px into 3 boxes"),
    ("fit --parts 1000000007", "cannot be cut into 1000000007 boxes"),
    ("fit --overlap 33", "overlap 33 cuts the image's height of 32 px into 2 boxes"),
    ("fit --overlap 7", "as with overlap 4 or 6 or 8"),
    ("fit --recipe papr", "unknown recipe 'papr': did you mean 'paper'?"),
    ("fit --recipe xyz", "Choose one of quick, paper, fastresnet, speed, speed-muon."),
    ("fit --dtype float16", "unknown dtype 'float16'"),
    ("fit --dtype bf16", "unknown dtype 'bf16': did you mean 'bfloat16'?"),
    ("fit --shortcut none", "unknown shortcut 'none'"),
    ("fit --shortcut identity", "shortcut 'identity' is for resnets"),
    ("fit --block type3", "unknown block 'type3': did you mean 'type2'"),
    ("fit --model resnet8 --block basic", "block 'basic' is for fastresnets, and 'resnet8' has none: leave it out"),
    ("fit --optimizer adm", "unknown optimizer 'adm': did you mean 'adam'"),
    ("fit --schedule triangle", "unknown schedule 'triangle': did you mean 'triangular'"),
    ("fit --boxes wandering", "unknown boxes 'wandering': Choose one of fixed, random."),
    ("fit --method conventional --boxes random", "boxes 'random' is for training by decomposition: leave it out"),
    ("fit --padding mirror", "unknown padding 'mirror': Choose one of black, reflect."),
    ("fit --padding reflect", "padding reflect changes nothing without crop: leave it out, or set crop too"),
    ("fit --alternate", "alternate True changes nothing without flip: leave it out, or set flip too"),
    ("fit --weight-decay -1", "weight_decay is -1.0: it must be at least 0"),
    ("fit --bias-rate 0.5", "bias_rate is 0.5: it must be at least 1"),
    ("fit --label-smoothing 1", "label_smoothing is 1.0: it must be at least 0 and below 1"),
    ("fit --views 3", "views is 3: it must be one of 1, 2, 6"),
    ("fit --views two", "'two' is not a valid integer"),
    ("fit --views 2", "views is 2: that mirrors test images, and the network is trained on none that are: leave"),
    ("fit --recipe speed --batch-size 2000", "batch_size 2000 is more than the 1437 training images"),
    ("fit --dataset digit", "did you mean 'digits'?"),
    ("fit --model resnet", "unknown model 'resnet'"),
    ("fit --model CNN", "unknown model 'CNN': did you mean 'cnn'?"),
    ("fit --model resnet8 --width 3", "3 channels, fewer than the 4 parts"),
    ("fit --off-diagonal ones", "off_diagonal is 'ones': it takes zeros, noise:SCALE or orthogonal:SCALE"),
    ("fit --off-diagonal noise:-1", "off_diagonal is 'noise:-1'"),
    ("fit --off-diagonal noise:nan", "off_diagonal is 'noise:nan'"),
    ("fit --off-diagonal zeros:2", "off_diagonal is 'zeros:2'"),
    ("fit --devices 0", "devices '0': there are CPU:0"),
    ("fit --devices GPU:7", "devices 'GPU:7': there are CPU:0"),
    ("fit --devices -1", "devices '-1'"),
    ("fit --devices CPU:0,", "devices 'CPU:0,'"),
    ("fit --devices 99", "only be split before TensorFlow starts"),
    ("fit --batch-size 1438", "batch_size 1438 is more than the 1437 training images"),
    ("fit --validation-split 0.00001", "to hold out 1e-05 of 1437 images leaves one side empty"),
    ("fit --crop 32", "crop 32 is not a whole number from 0 to 31"),
    ("fit --tensorboard yes", "unexpected extra argument"),
    ("feature-maps", "Missing argument 'RUN'"),
    ("feature-maps file", "'file' is a file"),
    ("feature-maps full", "'full' is not the directory of a run (config.json: No such file or directory)"),
    ("feature-maps full --image x", "'x' is not a valid integer"),
    ("feature-maps full --image -1", "-1 is not in the range x>=0"),
    ("fit --dataset cifar10 --data-dir nowhere", "'nowhere' is not a folder"),
    ("fit --data-dir file", "'file' is a file"),
    ("fit --dataset cifar10 --data-dir loop", "'loop'"),
    ("fit --run-dir file", "'file' is a file"),
    ("fit --run-dir loop/run", "run directory 'loop/run' cannot be written (Too many levels of symbolic links)"),
    (f"fit --run-dir {'n' * 300}", "cannot be written (File name too long)"),
    ("bench --width 0", "width is 0: it must be at least 1"),
    ("bench --parts 0", "parts is 0: it must be at least 1"),
    ("bench --batch-size 0", "batch-size is 0: it must be at least 1"),
    ("bench --steps 0", "steps is 0: it must be at least 1"),
    ("bench --rounds -2", "rounds is -2: it must be at least 1"),
    ("bench --model resnet9", "unknown model 'resnet9': did you mean"),
    ("bench --width wide", "'wide' is not a valid integer"),
    ("bench --output nowhere/b.json", "nowhere/b.json"),
    ("bench --output full", "full"),
    ("feed --output nowhere/feed.json", "output 'nowhere/feed.json' cannot be written"),
    ("zoo shwo", "No such command 'shwo'"),
    ("zoo show", "Missing argument 'NAME'"),
    ("zoo show nonsense", "unknown model of the zoo 'nonsense'"),
    ("zoo show nowhere.json", "card 'nowhere.json' cannot be read (No such file or directory)"),
    ("zoo verify nonsense", "unknown model of the zoo 'nonsense'"),
    ("zoo predict", "Missing argument 'IMAGE...'"),
    ("zoo predict nowhere.png", "'nowhere.png' does not exist"),
    ("zoo predict file --model nonsense", "unknown model of the zoo 'nonsense'"),
    ("zoo evaluate nonsense", "unknown model of the zoo 'nonsense'"),
    ("zoo evaluate nonsense --output full", "output 'full' cannot be written"),
    ("zoo release", "Missing argument 'RUN'"),
    ("zoo release full", "'full' is not the directory of a run (config.json: No such file or directory)"),
    ("zoo release file", "'file' is a file"),
    ("export nonsense", "Missing option '--to'"),
    ("export nonsense --to onnx", "unknown model of the zoo 'nonsense'"),
    ("export nonsense --to caffe", "'caffe' is not one of 'savedmodel', 'onnx', 'litert'"),
    ("fit --dataset cifra10", "unknown data set 'cifra10': did you mean 'cifar10'"),
    ("fit --model resnet9", "unknown model 'resnet9'"),
    ("fit --parts 3 --overlap 0", "overlap 0 cuts the image's width of 32 px into 3 boxes"),
    ("fit --parts 32", "'conv1'"),
    ("fit --grid 2x2 --parts 8", "grid 2x2 has 4 boxes but parts is 8"),
    ("fit --model resnet8 --width 2", "'stem_conv'"),
    ("fit --overlap 5", "overlap 5"),
    ("fit --batch-size 5000", "batch_size 5000 is more than the 1437 training images"),
    ("fit --epochs -1", "epochs is -1"),
    ("fit --devices TPU:0", "devices 'TPU:0': there are CPU:0"),
    ("fit --run-dir file/run", "'file/run' cannot be written (Not a directory)"),
    ("fit --run-dir full", "'full' is not empty"),
]


@pytest.mark.parametrize(("line", "says"), COMMANDS, ids=[line[:60] for line, _ in COMMANDS])
def test_the_command_line_refuses(line, says, folder, capsys):
    with pytest.raises(SystemExit) as end:
        main(line.split())
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (2, "")
    assert stderr.startswith("keras-dd: ") and stderr.count("\n") == 1, stderr
    assert says in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("value", ["x", "-3"])
def test_the_environment_is_checked_too(value, folder, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_DD_FIT_EPOCHS", value)
    with pytest.raises(SystemExit) as end:
        main(["fit"])
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (2, "")
    assert stderr.startswith("keras-dd: ") and stderr.count("\n") == 1 and value in stderr


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "Denied")])
def test_what_fails_while_running_is_one_line_and_exit_code_1(failure, folder, monkeypatch, capsys):
    def fails(settings, command):
        raise failure

    monkeypatch.setattr("keras_dd.pipeline.run", fails)
    with pytest.raises(SystemExit) as end:
        main(["fit"])
    stdout, stderr = capsys.readouterr()
    assert (end.value.code, stdout) == (1, "")
    assert stderr == f"keras-dd: {failure}\n"
