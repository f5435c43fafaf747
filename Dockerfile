# sluice in a container: built in the first stage, run as an unprivileged user in the second.
FROM debian:bookworm-slim AS pages
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY www/package.json www/package-lock.json /www/
RUN npm ci --prefix /www --no-audit --no-fund

FROM debian:bookworm-slim AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      build-essential cmake ninja-build pkg-config git \
      libevent-dev libssl-dev libhiredis-dev libjansson-dev libnghttp2-dev libyaml-dev libseccomp-dev zlib1g-dev libsrtp2-dev libnice-dev libavcodec-dev libswresample-dev uthash-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=pages /www/node_modules www/node_modules
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSLUICE_TESTS=OFF \
      -DCMAKE_INSTALL_PREFIX=/usr \
    && cmake --build /build && DESTDIR=/out cmake --install /build --strip

FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      libevent-2.1-7 libevent-core-2.1-7 libevent-extra-2.1-7 libevent-pthreads-2.1-7 \
      libssl3 libhiredis0.14 libjansson4 libnghttp2-14 libyaml-0-2 libseccomp2 zlib1g libsrtp2-1 libnice10 libavcodec59 libswresample4 curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin sluice
COPY --from=build /out/ /
USER sluice
EXPOSE 1935 8080 7000 8000/udp
# Only this process is asked: a node is well although Redis is not.
HEALTHCHECK --interval=2s --timeout=2s --start-period=2s --retries=3 \
  CMD ["curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8090/healthz"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluice"]
CMD ["serve"]
