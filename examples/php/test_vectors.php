<?php
/** Checks the signatures against the published vectors: php test_vectors.php */
declare(strict_types=1);

namespace LinkRelay;

require __DIR__ . '/linkrelay.php';

$schemes = [
    'link-peeler' => fn (array $v, string $body) => $v['version'] === 'v1'
        ? signV1($v['secret'], $v['timestamp'], $v['nonce'], $body)
        : signV2($v['secret'], $v['timestamp'], $v['nonce'], $v['method'], $v['target'], $body),
    'iklim' => fn (array $v, string $body) => signIklim($v['secret'], $v['timestamp'], $v['method'], $v['target'], $body),
    'signed-query' => function (array $v): string {
        $job = $v['creates'] ? array_map(fn ($name) => $v['job'][$name], ['idempotencyKey', 'trackingUrl', 'source', 'rowId']) : [];
        return signQuery($v['secret'], [$v['keyId'], $v['timestamp'], ...$job], str_replace('hmac-', '', $v['algorithm']));
    },
];

$wrong = 0;
foreach ($schemes as $scheme => $sign) {
    $file = json_decode(file_get_contents(__DIR__ . "/../../signature/testdata/$scheme.json"), true, flags: JSON_THROW_ON_ERROR);
    $valid = array_filter($file['vectors'], fn ($v) => $v['valid']);
    foreach ($valid as $v) {
        $body = isset($v['bodyBase64']) ? base64_decode($v['bodyBase64'], true) : $v['body'] ?? '';
        $got = $sign($v, $body);
        if ($got !== $v['signature']) {
            echo "$scheme, {$v['name']}: $got, want {$v['signature']}\n";
            $wrong++;
        }
    }
    echo "$scheme: ", count($valid), " signatures\n";
}
exit($wrong > 0 ? 1 : 0);
