"""Starts a video autoencoder at the linear solution instead of at noise.

With the second convolution of every residual block at zero, an LTX autoencoder is a chain of a few convolutions, linear
but for one RMSNorm and SiLU at the end of each half. A large constant in one channel keeps the norm from erasing
amplitudes and the SiLU near its linear part. Then each convolution is found by least squares, in order, on the features
that really arrive at it:

  encoder  each convolution keeps the few directions that predict the pixels below best (reduced-rank regression)
  decoder  each convolution predicts the principal components of the pixel block of the next level; the last one predicts
           the pixels

The features are those of bf16 convolutions: least squares then finds weights that do not rest on differences that bf16
cannot hold. start(vae, clips) does it in place; training goes on from there, but must leave alone the weights that read
the constant (constant_inputs): it is so large that any step on them would drown all else."""

import contextlib

import torch
import torch.nn.functional as F

CONST = 4.0  # the constant channel, in units of the other channels' root mean square length
RIDGE = 1e-3
LOGVAR = -6.0  # of the posterior, everywhere


def patches(x, p):
    """[B,C,F,H,W] -> [B, C*p*p, F, H/p, W/p] in the order of LTXVideoEncoder3d and LTXVideoDecoder3d"""
    b, c, f, h, w = x.shape
    x = x.reshape(b, c, f, 1, h // p, p, w // p, p)
    return x.permute(0, 1, 3, 7, 5, 2, 4, 6).flatten(1, 4)


def blocks(x, t, s):
    """[B,C,F,H,W] with F = 1 + a multiple of t -> [B, C*t*s*s, F', H/s, W/s]; the first frame counts t times, as the
    causal encoder sees it"""
    x = torch.cat([x[:, :, :1]] * (t - 1) + [x], 2)
    b, c, f, h, w = x.shape
    x = x.reshape(b, c, f // t, t, h // s, s, w // s, s)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def rows(x):  # [B,C,F,H,W] -> [positions, C]
    return x.permute(0, 2, 3, 4, 1).flatten(0, 3).float()


def taps(x, conv, kernel, chosen=slice(None)):
    """what the central `kernel` taps (time, height, width) of a convolution see at the chosen positions,
    [positions, taps * C], and the places of these taps"""
    kt, x = conv.kernel_size[0], x.float()
    before = kt - 1 if conv.is_causal else kt // 2
    after = 0 if conv.is_causal else kt // 2
    x = F.pad(torch.cat([x[:, :, :1]] * before + [x] + [x[:, :, -1:]] * after, 2), (1, 1, 1, 1))
    n, h, w = x.shape[2] - kt + 1, x.shape[3] - 2, x.shape[4] - 2
    ts = range(kt) if kernel[0] == kt else [before]  # the present frame
    ys, xs = (range(3) if k == 3 else [1] for k in kernel[1:])
    places = [(t, y, q) for t in ts for y in ys for q in xs]
    return torch.cat([rows(x[:, :, t : t + n, y : y + h, q : q + w])[chosen] for t, y, q in places], 1), places


def write(conv, places, weight, bias, rest=0.0):
    """puts [taps * C, O] into the first O output channels of a convolution; the others keep `rest` of their noise"""
    w, b = conv.conv.weight.data, conv.conv.bias.data
    used = weight.shape[1]
    w[:used] = 0
    w[used:] *= rest
    for k, (t, y, x) in enumerate(places):
        w[:used, :, t, y, x] = weight[k * w.shape[1] : (k + 1) * w.shape[1]].T
    b[:used], b[used:] = bias, b[used:] * rest


def constant(conv, channel, value):
    conv.conv.weight.data[channel] = 0
    conv.conv.bias.data[channel] = value


def solve(x, y, ridge=RIDGE):
    """weight [I,O] and bias [O] of the least squares fit"""
    mx, my = x.mean(0), y.mean(0)
    x = x - mx
    gram = x.T @ x / len(x)
    gram.diagonal().add_(ridge * gram.diagonal().mean() + 1e-12)
    w = torch.linalg.solve(gram, x.T @ (y - my) / len(x))
    return w, my - mx @ w


def directions(x, y, n):
    """the n directions of x, [I,n], orthonormal as predictions, from which y is predicted best; and the mean of x"""
    w, _ = solve(x, y)
    mean = x.mean(0)
    vals, vecs = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    half = vecs * vals.clamp(min=0).sqrt()  # covariance = half half^T
    v = torch.linalg.svd(half.T @ w, full_matrices=False)[2]
    return w @ v[:n].T, mean


def principal(y, n):
    """mean and the n leading principal directions [O,n] of y"""
    m = y.mean(0)
    vals, vecs = torch.linalg.eigh((y - m).T @ (y - m) / len(y))
    return m, vecs[:, -n:].flip(1)


def some(n, count, g):
    return torch.randperm(n, generator=g)[:count]


def size(x):  # root of the mean squared length of [positions, C]
    return x.square().sum(1).mean().sqrt().item()


def constant_inputs(vae):
    """[(weight, input channels)] of the convolutions that read the constant after start()"""
    out, enc, dec = [], vae.encoder, vae.decoder
    channels = [enc.in_channels]
    for block in enc.down_blocks:
        down = block.downsamplers[0]
        readers = [r.conv1 for r in block.resnets] + [down.conv]
        out += [(m.conv.weight, channels) for m in readers]
        many = down.stride[0] * down.stride[1] * down.stride[2]
        end = down.conv.out_channels * many
        channels = list(range(end - many, end))
    out.append((enc.conv_out.conv.weight, channels))
    channels, size = [vae.config.latent_channels], vae.config.patch_size * 2 ** (len(dec.up_blocks) - 1)
    for block in dec.up_blocks:
        up = block.upsamplers[0]
        out.append((up.conv.conv.weight, channels))
        channels = [kept(up, 3 * size * size * up.stride[0] if size > vae.config.patch_size else dec.out_channels)]
        out += [(r.conv1.conv.weight, channels) for r in block.resnets]
        size //= 2
    return out + [(dec.conv_out.conv.weight, channels)]


def kept(up, values):
    """how many principal components an upsampler makes; the constant is in the channel behind them"""
    return min(up.conv.conv.out_channels // (up.stride[0] * up.stride[1] * up.stride[2]) - 1, values)


@torch.no_grad()
def start(vae, clips, seed=0, positions=20000, log=print):
    """vae: AutoencoderKLLTXVideo without blocks that change the number of channels; clips [B,3,F,H,W] in -1..1"""
    with in_bf16(vae):
        find(vae, clips, seed, positions, log)


@contextlib.contextmanager
def in_bf16(model):
    """its convolutions compute in bf16 meanwhile"""
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv3d)]
    for m in convolutions:
        m.forward = torch.autocast("cpu", torch.bfloat16)(m.forward)
    yield
    for m in convolutions:
        del m.forward


def find(vae, clips, seed, positions, log):
    g = torch.Generator().manual_seed(seed)
    enc, dec = vae.encoder, vae.decoder
    for m in vae.modules():
        if type(m).__name__ == "LTXVideoResnetBlock3d":
            assert m.conv_shortcut is None, "choose channels so that no block changes their number"
            m.conv2.conv.weight.zero_()  # from here on the block is the identity, and is left out below
            m.conv2.conv.bias.zero_()

    def pick(target):
        return torch.randperm(len(target), generator=g)[:positions]

    # encoder: the patches rotated onto their principal components, and the constant
    x = patches(clips, vae.config.patch_size)
    y = rows(x)
    n = y.shape[1]
    mean, basis = principal(y[pick(y)], n)
    conv, unit = enc.conv_in, size(y - mean)
    write(conv, taps(x[:1, :, :1], conv, (1, 1, 1))[1], basis, -(mean @ basis), 0.1)
    constant(conv, n, CONST * unit)
    h = conv(x)
    t, s = 1, vae.config.patch_size
    for block in enc.down_blocks:
        down = block.downsamplers[0]
        conv = down.conv
        keep = conv.conv.out_channels - 1
        target = rows(blocks(clips, t, s))
        i = pick(target)
        f, places = taps(h, conv, (1, 1, 1), i)
        w, mean = directions(f, target[i], keep)
        write(conv, places, w, -(mean @ w))
        constant(conv, keep, CONST * size((f - mean) @ w))
        log("encoder: %d of the %d values of a %dx%dx%d block" % (keep, target.shape[1], t, s, s))
        h = down(h)
        t, s = t * down.stride[0], s * down.stride[1]
    h = enc.conv_act(enc.norm_out(h.movedim(1, -1)).movedim(-1, 1))
    conv, z = enc.conv_out, vae.config.latent_channels
    target = rows(blocks(clips, t, s))
    i = pick(target)
    f, places = taps(h, conv, (1, 1, 1), i)
    w, mean = directions(f, target[i], z)
    w = w / ((f - mean) @ w).std(0).sqrt()  # between equal noise in all components and equal components
    write(conv, places, w, -(mean @ w))
    constant(conv, z, LOGVAR)
    latents = conv(h)[:, :z]
    f = rows(latents)[i]
    w, b = solve(f, target[i])
    mse = ((f @ w + b - target[i]) / 2).square().mean()
    log(
        "encoder: %d of %d values a %dx%dx%d block, decoded linearly %.2f dB"
        % (z, target.shape[1], t, s, s, -10 * mse.log10())
    )
    # decoder: the latents and the constant, then level by level
    conv = dec.conv_in
    write(conv, taps(latents[:1, :, :1], conv, (1, 1, 1))[1], torch.eye(z), 0.0, 0.1)
    constant(conv, z, CONST * size(rows(latents)))
    h = conv(latents)
    for block in dec.up_blocks:
        up = block.upsamplers[0]
        conv, a = up.conv, up.stride
        t, s = t // a[0], s // a[1]
        pixels = blocks(clips, t, s)
        y = rows(pixels)
        keep = kept(up, y.shape[1])
        mean, basis = principal(y[pick(y)], keep)
        goal = ((pixels.movedim(1, -1) - mean) @ basis).movedim(-1, 1)
        goal = torch.cat([goal, torch.full_like(goal[:, :1], CONST * size(rows(goal)))], 1)
        noise = conv.conv.weight.data.clone(), conv.conv.bias.data.clone()
        conv.conv.weight.zero_()
        conv.conv.bias.zero_()
        goal = goal - up(h)[:, : keep + 1].float()  # what the block's shortcut gives
        conv.conv.weight.copy_(noise[0])
        conv.conv.bias.copy_(noise[1])
        goal = torch.cat([goal[:, :, :1]] * (a[0] - 1) + [goal], 2)  # the upsampler drops these frames
        b, c, frames, height, width = goal.shape
        goal = goal.reshape(b, c, frames // a[0], a[0], height // a[1], a[1], width // a[2], a[2])
        goal = rows(goal.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4))
        i = pick(goal)
        f, places = taps(h, conv, (1, 3, 3), i)
        write(conv, places, *solve(f, goal[i]), 0.1)
        h = up(h)
        log("decoder: %d principal components a %dx%dx%d block" % (keep, t, s, s))
    h = dec.conv_act(dec.norm_out(h.movedim(1, -1)).movedim(-1, 1))
    conv, y = dec.conv_out, rows(x)
    i = pick(y)
    f, places = taps(h, conv, (1, 3, 3), i)
    write(conv, places, *solve(f, y[i]))
    mse = ((rows(conv(h[:4])) - rows(x[:4])) / 2).square().mean()
    log("decoder: %.2f dB" % (-10 * mse.log10()))
