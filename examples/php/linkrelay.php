<?php
/**
 * Sends signed requests to linkrelay, with nothing but PHP 8.1: no Composer, no
 * ext-curl.
 *
 *     export LINKRELAY_URL=… LINKRELAY_KEY=lp_live_… LINKRELAY_SECRET=lps_…
 *     php linkrelay.php submit 'https://example.com/click?id=7' newsletter row-7
 *     php linkrelay.php wait job_…
 *
 * LINKRELAY_SCHEME says how to sign: link-peeler (the default), link-peeler-v1,
 * iklim or signed-query. Included from elsewhere: (new Platform(…))->submit(…),
 * or only the four functions sign…().
 */
declare(strict_types=1);

namespace LinkRelay;

const SCHEMES = ['link-peeler', 'link-peeler-v1', 'iklim', 'signed-query'];
const FINAL_STATES = ['succeeded', 'dead', 'cancelled', 'expired'];
const GOOD_FOR = 240; // seconds that a signed request may be sent again: the relay allows 300, and clocks differ
const PAUSES = [1, 2, 4, 8, null]; // seconds before the next try where the relay names none; null ends

// Signatures. The HMAC key is the secret's own text; the body is every byte that is sent.

/** link-peeler v1, for POST /api/links/fetch only. The timestamp is in seconds. */
function signV1(string $secret, string $timestamp, string $nonce, string $body): string
{
    return hash_hmac('sha256', "$timestamp.$nonce.$body", $secret);
}

/** link-peeler v2, for every call. The target is path and query exactly as sent. */
function signV2(string $secret, string $timestamp, string $nonce, string $method, string $target, string $body): string
{
    return 'v2=' . hash_hmac('sha256', "$timestamp.$nonce.$method.$target.$body", $secret);
}

/** iklim, for every call. The timestamp is in milliseconds. */
function signIklim(string $secret, string $timestamp, string $method, string $target, string $body): string
{
    return hash_hmac('sha256', "$method|$target|$timestamp|$body", $secret);
}

/** signed-query. Values: AccessID, Expires and, to create a job, its four, not yet percent-encoded. */
function signQuery(string $secret, array $values, string $algorithm = 'sha256'): string
{
    return base64_encode(hash_hmac($algorithm, implode("\n", $values), $secret, true));
}

/** The relay's refusal (RFC 9457). Its code is stable. */
final class Problem extends \Exception
{
    public readonly array $document;

    public function __construct(public readonly int $status, string $text)
    {
        // What is no JSON came from something on the way to the relay, or nothing came.
        $this->document = json_decode($text, true) ?? ['code' => 'no_answer_of_the_relay', 'detail' => $text];
        parent::__construct("$status {$this->document['code']}: " . ($this->document['detail'] ?? ''));
    }
}

/** Submits jobs and reads them. Methods return the relay's JSON as arrays, or throw Problem. */
final class Platform
{
    public function __construct(
        private string $url,
        private string $key,
        private string $secret,
        private string $scheme = SCHEMES[0],
    ) {
        $this->url = rtrim($url, '/');
    }

    /** Creates a job. Submitting it again under its idempotency key is safe: it stays one job. */
    public function submit(string $trackingUrl, string $source, string $rowId, ?string $idempotencyKey = null): array
    {
        return $this->call('POST', '/api/links/fetch', self::job($trackingUrl, $source, $rowId, $idempotencyKey));
    }

    /** Checks all that submit would, and creates nothing. */
    public function verify(string $trackingUrl, string $source, string $rowId, ?string $idempotencyKey = null): array
    {
        return $this->call('POST', '/api/links/verify', self::job($trackingUrl, $source, $rowId, $idempotencyKey));
    }

    /** Reads a job until it is final, which it is when it expires at the latest. */
    public function wait(string $jobId): array
    {
        while (true) {
            $job = $this->call('GET', '/api/links/jobs/' . rawurlencode($jobId) . '?wait=25');
            if (in_array($job['state'], FINAL_STATES, true)) {
                return $job;
            }
            sleep(1); // a relay that is shutting down answers at once
        }
    }

    public function find(string $idempotencyKey): array
    {
        return $this->call('GET', '/api/links/jobs?' . http_build_query(['idempotencyKey' => $idempotencyKey]));
    }

    public function quota(): array
    {
        return $this->call('GET', '/api/links/quota');
    }

    public function cancel(string $jobId): array
    {
        return $this->call('DELETE', '/api/links/jobs/' . rawurlencode($jobId));
    }

    /** The four values of a job, in the order that signQuery signs. iklim wants a UUID, the others any text. */
    private static function job(string $trackingUrl, string $source, string $rowId, ?string $idempotencyKey): array
    {
        return ['idempotencyKey' => $idempotencyKey ?? uuid(), 'trackingUrl' => $trackingUrl, 'source' => $source, 'rowId' => $rowId];
    }

    /**
     * Sends a request until it is answered for good. 429 and 503 use nothing up,
     * not even the nonce: the same bytes go again. Where nobody knows what
     * arrived, the request is signed anew, and the idempotency key sees to it
     * that it stays one job.
     */
    private function call(string $method, string $target, array $job = []): array
    {
        $request = null;
        foreach (PAUSES as $pause) {
            $resent = $request !== null;
            if (!$resent) {
                $request = $this->signed($method, $target, $job);
                $end = time() + GOOD_FOR;
            }
            [$status, $retryAfter, $text] = send(...$request);
            if ($status < 300) {
                return json_decode($text, true, flags: JSON_THROW_ON_ERROR);
            }
            $refused = $status === 429 || $status === 503;
            $unknown = !$refused && ($status >= 500 || $resent && $status === 409);
            $wait = $retryAfter ?: $pause;
            if (!$refused && !$unknown || $pause === null || time() + $wait > $end) {
                break;
            }
            if ($unknown) {
                $request = null;
            }
            sleep($wait);
        }
        throw new Problem($status, $text);
    }

    /** Returns what send() takes; it may be sent until GOOD_FOR seconds have passed. */
    private function signed(string $method, string $target, array $job): array
    {
        if ($this->scheme === 'signed-query') {
            return [$method, $this->url . $target . (str_contains($target, '?') ? '&' : '?') . $this->query($job), [], ''];
        }
        $body = $job ? json_encode($job, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE) : '';
        $headers = $this->scheme === 'iklim' ? $this->iklim($method, $target, $body, $job) : $this->linkPeeler($method, $target, $body);
        if ($body !== '') {
            $headers['Content-Type'] = 'application/json';
        }
        return [$method, $this->url . $target, $headers, $body];
    }

    private function linkPeeler(string $method, string $target, string $body): array
    {
        [$timestamp, $nonce] = [(string) time(), bin2hex(random_bytes(16))];
        $v1 = $this->scheme === 'link-peeler-v1' && $target === '/api/links/fetch';
        return [
            'X-Link-Peeler-Key' => $this->key,
            'X-Link-Peeler-Timestamp' => $timestamp,
            'X-Link-Peeler-Nonce' => $nonce,
            'X-Link-Peeler-Signature' => $v1
                ? signV1($this->secret, $timestamp, $nonce, $body)
                : signV2($this->secret, $timestamp, $nonce, $method, $target, $body),
        ];
    }

    private function iklim(string $method, string $target, string $body, array $job): array
    {
        $timestamp = (string) (int) (microtime(true) * 1000);
        return [
            'X-Api-Key' => $this->key,
            'X-Timestamp' => $timestamp,
            'X-Nonce' => uuid(),
            'X-Idempotency-Key' => $job['idempotencyKey'] ?? uuid(),
            'X-Signature' => signIklim($this->secret, $timestamp, $method, $target, $body),
        ];
    }

    private function query(array $job): string
    {
        $expires = (string) (time() + 300);
        $signature = signQuery($this->secret, [$this->key, $expires, ...array_values($job)]);
        return http_build_query($job + ['AccessID' => $this->key, 'Expires' => $expires, 'Signature' => $signature]);
    }
}

/** Returns status, seconds of Retry-After (0 for none) and text. Status 599: no answer came. */
function send(string $method, string $url, array $headers, string $body): array
{
    $lines = array_map(fn ($name, $value) => "$name: $value", array_keys($headers), $headers);
    $context = stream_context_create(['http' => [
        'method' => $method, 'header' => $lines, 'content' => $body, 'protocol_version' => 1.1,
        'timeout' => 40, 'ignore_errors' => true, 'follow_location' => 0, // ignore_errors: a refusal has a body, too
    ]]);
    $answer = @fopen($url, 'r', false, $context);
    if ($answer === false) {
        return [599, 0, error_get_last()['message'] ?? 'no answer'];
    }
    $head = implode("\n", stream_get_meta_data($answer)['wrapper_data']);
    preg_match('~^HTTP/\S+ (\d{3})~', $head, $status);
    preg_match('~^Retry-After: (\d+)$~mi', $head, $retryAfter);
    return [(int) $status[1], (int) ($retryAfter[1] ?? 0), stream_get_contents($answer)];
}

/** A UUID of version 4 (RFC 9562 §5.4). */
function uuid(): string
{
    $bytes = random_bytes(16);
    $bytes[6] = chr(ord($bytes[6]) & 0x0f | 0x40);
    $bytes[8] = chr(ord($bytes[8]) & 0x3f | 0x80);
    return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($bytes), 4));
}

const USAGE = <<<'END'
    usage: linkrelay.php submit|verify TRACKING_URL SOURCE ROW_ID [IDEMPOTENCY_KEY]
           linkrelay.php wait|cancel JOB_ID
           linkrelay.php find IDEMPOTENCY_KEY
           linkrelay.php quota
    END;

function main(array $args): int
{
    $counts = ['submit' => [3, 4], 'verify' => [3, 4], 'wait' => [1], 'cancel' => [1], 'find' => [1], 'quota' => [0]];
    $command = array_shift($args) ?? '';
    if (!in_array(count($args), $counts[$command] ?? [], true)) {
        return fail(USAGE);
    }
    foreach (['LINKRELAY_URL', 'LINKRELAY_KEY', 'LINKRELAY_SECRET'] as $name) {
        if (!getenv($name)) {
            return fail("set $name");
        }
    }
    $scheme = getenv('LINKRELAY_SCHEME') ?: SCHEMES[0];
    if (!in_array($scheme, SCHEMES, true)) {
        return fail('LINKRELAY_SCHEME must be one of ' . implode(', ', SCHEMES));
    }
    $platform = new Platform(getenv('LINKRELAY_URL'), getenv('LINKRELAY_KEY'), getenv('LINKRELAY_SECRET'), $scheme);
    try {
        echo json_encode($platform->$command(...$args), JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), "\n";
        return 0;
    } catch (Problem $problem) {
        $diagnosis = $problem->document['diagnosis'] ?? null;
        return fail($problem->getMessage() . ($diagnosis ? "\ndiagnosis: $diagnosis" : '') . "\n" . json_encode($problem->document, JSON_UNESCAPED_SLASHES));
    }
}

function fail(string $text): int
{
    fwrite(STDERR, "$text\n");
    return 1;
}

if (realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    exit(main(array_slice($argv, 1)));
}
